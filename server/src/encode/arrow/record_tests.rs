//! Records in PostgreSQL's binary form, whole and damaged, against the structs that a column makes of them.

use arrow_array::{
    Array,
    cast::AsArray as _,
    types::{Date32Type, Int32Type},
};
use arrow_schema::Field;

use super::*;
use crate::encode::arrow::{What, types::ScalarKind};

/// `(a int4, n (d date, t text))`.
fn column(unfit_as_null: bool) -> Column {
    let inner = vec![(1082, Kind::Scalar(ScalarKind::Date)), (25, Kind::Scalar(ScalarKind::Text))];
    let kind = Kind::Struct(vec![(23, Kind::Scalar(ScalarKind::Int4)), (90_001, Kind::Struct(inner))]);
    let inner = Fields::from(vec![Field::new("d", DataType::Date32, true), Field::new("t", DataType::Utf8, true)]);
    let outer =
        Fields::from(vec![Field::new("a", DataType::Int32, true), Field::new("n", DataType::Struct(inner), true)]);
    Column::new(kind, DataType::Struct(outer), unfit_as_null, 4)
}

/// Fields with the types that they are of.
fn record(fields: &[(u32, Option<&[u8]>)]) -> Vec<u8> {
    let mut bytes = i32::try_from(fields.len()).expect("few").to_be_bytes().to_vec();
    for (oid, value) in fields {
        bytes.extend(oid.to_be_bytes());
        bytes.extend(value.map_or(-1, |value| i32::try_from(value.len()).expect("short")).to_be_bytes());
        bytes.extend(value.unwrap_or_default());
    }
    bytes
}

fn whole(number: i32, days: i32, text: &str) -> Vec<u8> {
    let inner = record(&[(1082, Some(&days.to_be_bytes())), (25, Some(text.as_bytes()))]);
    record(&[(23, Some(&number.to_be_bytes())), (90_001, Some(&inner))])
}

#[test]
fn a_null_and_a_struct_of_nulls_are_two_things_at_every_depth() {
    let mut column = column(false);
    let inner_nulls = record(&[(1082, None), (25, None)]);
    column.push(Some(&whole(7, 1, "seven"))).expect("a record");
    column.push(None).expect("NULL");
    column.push(Some(&record(&[(23, None), (90_001, None)]))).expect("NULLs");
    column.push(Some(&record(&[(23, None), (90_001, Some(&inner_nulls))]))).expect("NULLs in a record");
    let array = column.finish().expect("an array");
    let outer = array.as_struct();
    assert_eq!((0..4).map(|i| outer.is_null(i)).collect::<Vec<_>>(), [false, true, false, false]);
    let inner = outer.column(1).as_struct();
    assert_eq!((0..4).map(|i| inner.is_null(i)).collect::<Vec<_>>(), [false, true, true, false]);
    assert_eq!(outer.column(0).as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(7), None, None, None]);
    assert_eq!(inner.column(0).as_primitive::<Date32Type>().value(0), 10_958);
    assert_eq!(inner.column(1).as_string::<i32>().value(0), "seven");
    assert!(inner.column(1).is_null(3));
}

#[test]
fn other_fields_than_were_described_are_told_and_never_null() {
    let inner = record(&[(1082, None), (25, None)]);
    let more = record(&[(1082, None), (25, None), (25, None)]);
    for other in [
        record(&[]),
        record(&[(23, None)]),
        record(&[(20, None), (90_001, None)]),
        record(&[(23, None), (90_002, Some(&inner))]),
        record(&[(23, None), (90_001, Some(&more))]),
        record(&[(23, None), (90_001, None), (23, None)]),
    ] {
        assert_eq!(column(true).push(Some(&other)), Err(Unfit::Stale), "{other:?}");
    }
}

#[test]
fn a_damaged_record_is_refused_wherever_it_is_cut_and_leaves_nothing_behind() {
    let good = whole(7, 1, "seven");
    let mut column = column(true);
    for end in 0..good.len() {
        assert_eq!(column.push(Some(&good[..end])), Err(Unfit::Malformed(Malformed::Binary)), "cut at {end}");
    }
    let longer = [&good[..], &[0]].concat();
    assert_eq!(column.push(Some(&longer)), Err(Unfit::Malformed(Malformed::Binary)));
    let negative = [&(-1_i32).to_be_bytes()[..], &good[4..]].concat();
    assert_eq!(column.push(Some(&negative)), Err(Unfit::Malformed(Malformed::Binary)));
    let endless = [&good[..8], &i32::MAX.to_be_bytes(), &good[12..]].concat();
    assert_eq!(column.push(Some(&endless)), Err(Unfit::Malformed(Malformed::Binary)));
    column.push(Some(&good)).expect("a record");
    let array = column.finish().expect("an array");
    assert_eq!((array.len(), array.as_struct().column(0).as_primitive::<Int32Type>().values().as_ref()), (1, &[7][..]));
}

#[test]
fn a_field_without_a_place_is_null_by_itself_only_where_that_is_wanted() {
    let infinite = whole(7, i32::MAX, "seven");
    assert_eq!(column(false).push(Some(&infinite)), Err(Unfit::Unrepresentable(What::InfiniteDate)));
    let mut column = column(true);
    column.push(Some(&infinite)).expect("NULL in its place");
    let array = column.finish().expect("an array");
    let inner = array.as_struct().column(1).as_struct();
    assert!(array.is_valid(0) && inner.is_valid(0) && inner.column(0).is_null(0));
    assert_eq!(inner.column(1).as_string::<i32>().value(0), "seven");
}

#[test]
fn structs_taken_off_the_end_are_gone_with_all_their_fields() {
    let mut column = column(false);
    for number in 0..3 {
        column.push(Some(&whole(number, 0, "text"))).expect("a record");
    }
    column.truncate(1);
    column.push(None).expect("NULL");
    column.push(Some(&whole(9, 0, "after"))).expect("a record");
    let array = column.finish().expect("an array");
    let numbers = array.as_struct().column(0).as_primitive::<Int32Type>();
    assert_eq!(numbers.iter().collect::<Vec<_>>(), [Some(0), None, Some(9)]);
    // What follows begins anew.
    column.push(Some(&whole(1, 0, "\u{e9}"))).expect("a record");
    assert_eq!(column.finish().expect("an array").len(), 1);
}

#[test]
fn text_in_a_struct_that_is_not_utf8_is_told_by_its_row() {
    let mut column = column(false);
    let inner = record(&[(1082, None), (25, Some(b"\xff"))]);
    column.push(Some(&whole(1, 0, "fine"))).expect("a record");
    column.push(None).expect("NULL");
    column.push(Some(&record(&[(23, None), (90_001, Some(&inner))]))).expect("looked at when the batch ends");
    assert_eq!(column.finish().expect_err("not UTF-8"), 2);
}
