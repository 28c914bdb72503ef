//! Values in PostgreSQL's binary form against the arrays that a column makes of them.

use arrow_array::{
    Array, ArrayRef,
    cast::AsArray as _,
    types::{
        Date32Type, Decimal128Type, Int32Type, Int64Type, IntervalMonthDayNanoType, Time64MicrosecondType,
        TimestampMicrosecondType,
    },
};
use arrow_schema::{DataType, Field, IntervalUnit, TimeUnit};

use super::*;

const DECIMAL: ScalarKind = ScalarKind::Decimal128(6, 2);

fn column(scalar: ScalarKind, data_type: DataType) -> Column {
    Column::new(Kind::Scalar(scalar), data_type, false, 4)
}

fn list_column(unfit_as_null: bool) -> Column {
    let data_type = DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true)));
    Column::new(Kind::List(ScalarKind::Int4), data_type, unfit_as_null, 4)
}

/// The array of one value and of a NULL.
fn array_of(scalar: ScalarKind, data_type: DataType, bytes: &[u8]) -> ArrayRef {
    let mut column = column(scalar, data_type);
    column.push(Some(bytes)).expect("a value");
    column.push(None).expect("NULL");
    let array = column.finish().expect("an array");
    assert!(array.is_valid(0) && array.is_null(1) && array.len() == 2);
    array
}

fn refusal(scalar: ScalarKind, data_type: DataType, bytes: &[u8]) -> Unfit {
    column(scalar, data_type).push(Some(bytes)).expect_err("no place for it")
}

/// An `int4[]` of one dimension, or of none if it is empty.
fn int4_array(lower: i32, items: &[Option<i32>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut put = |number: i32| bytes.extend(number.to_be_bytes());
    put(i32::from(!items.is_empty()));
    put(i32::from(items.contains(&None)));
    put(23);
    if !items.is_empty() {
        put(i32::try_from(items.len()).expect("few"));
        put(lower);
    }
    for item in items {
        put(if item.is_some() { 4 } else { -1 });
        item.iter().for_each(|item| put(*item));
    }
    bytes
}

fn interval_bytes(micros: i64, days: i32, months: i32) -> Vec<u8> {
    [&micros.to_be_bytes()[..], &days.to_be_bytes(), &months.to_be_bytes()].concat()
}

#[test]
fn dates_and_times_count_from_arrows_epoch() {
    let date = array_of(ScalarKind::Date, DataType::Date32, &(-1_i32).to_be_bytes());
    assert_eq!(date.as_primitive::<Date32Type>().value(0), 10_956);
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let stamp = array_of(ScalarKind::Timestamptz, micros.clone(), &1_i64.to_be_bytes());
    assert_eq!(stamp.as_primitive::<TimestampMicrosecondType>().value(0), 946_684_800_000_001);
    assert_eq!(stamp.data_type(), &micros);
    let time = array_of(ScalarKind::Time, DataType::Time64(TimeUnit::Microsecond), &86_399_999_999_i64.to_be_bytes());
    assert_eq!(time.as_primitive::<Time64MicrosecondType>().value(0), 86_399_999_999);
    let data_type = DataType::Interval(IntervalUnit::MonthDayNano);
    let interval = array_of(ScalarKind::Interval, data_type, &interval_bytes(-5, 3, -14));
    let interval = interval.as_primitive::<IntervalMonthDayNanoType>().value(0);
    assert_eq!((interval.months, interval.days, interval.nanoseconds), (-14, 3, -5000));
}

#[test]
fn the_ends_of_what_arrow_counts_are_found_to_the_unit() {
    let stamp = || DataType::Timestamp(TimeUnit::Microsecond, None);
    let most = i64::MAX - EPOCH_MICROS;
    let array = array_of(ScalarKind::Timestamp, stamp(), &most.to_be_bytes());
    assert_eq!(array.as_primitive::<TimestampMicrosecondType>().value(0), i64::MAX);
    let month_day_nano = || DataType::Interval(IntervalUnit::MonthDayNano);
    let longest = interval_bytes(i64::MAX / 1000, 0, 0);
    array_of(ScalarKind::Interval, month_day_nano(), &longest);
    for (scalar, data_type, bytes, what) in [
        (ScalarKind::Date, DataType::Date32, i32::MAX.to_be_bytes().to_vec(), What::InfiniteDate),
        (ScalarKind::Date, DataType::Date32, i32::MIN.to_be_bytes().to_vec(), What::InfiniteDate),
        (ScalarKind::Date, DataType::Date32, (i32::MAX - 1).to_be_bytes().to_vec(), What::DistantDate),
        (ScalarKind::Timestamp, stamp(), i64::MIN.to_be_bytes().to_vec(), What::InfiniteTimestamp),
        (ScalarKind::Timestamp, stamp(), (most + 1).to_be_bytes().to_vec(), What::DistantTimestamp),
        (
            ScalarKind::Time,
            DataType::Time64(TimeUnit::Microsecond),
            MICROS_PER_DAY.to_be_bytes().to_vec(),
            What::Midnight,
        ),
        (ScalarKind::Interval, month_day_nano(), interval_bytes(i64::MAX / 1000 + 1, 0, 0), What::LongInterval),
        (ScalarKind::Interval, month_day_nano(), interval_bytes(i64::MIN, i32::MIN, i32::MIN), What::InfiniteInterval),
    ] {
        assert_eq!(refusal(scalar, data_type, &bytes), Unfit::Unrepresentable(what));
    }
}

#[test]
fn bytes_of_another_length_are_malformed_and_never_null() {
    let uuid = DataType::FixedSizeBinary(16);
    for (scalar, data_type, length) in [
        (ScalarKind::Bool, DataType::Boolean, 1),
        (ScalarKind::Int2, DataType::Int16, 2),
        (ScalarKind::Int4, DataType::Int32, 4),
        (ScalarKind::Int8, DataType::Int64, 8),
        (ScalarKind::Oid, DataType::UInt32, 4),
        (ScalarKind::Float4, DataType::Float32, 4),
        (ScalarKind::Float8, DataType::Float64, 8),
        (ScalarKind::Date, DataType::Date32, 4),
        (ScalarKind::Uuid, uuid, 16),
    ] {
        for wrong in [length - 1, length + 1] {
            let mut column = Column::new(Kind::Scalar(scalar), data_type.clone(), true, 1);
            let unfit = column.push(Some(&vec![0; wrong])).expect_err("another length");
            assert!(matches!(unfit, Unfit::Malformed(_)), "{scalar:?} of {wrong} bytes: {unfit:?}");
        }
    }
}

#[test]
fn a_value_without_a_place_is_null_only_where_that_is_wanted() {
    for unfit_as_null in [false, true] {
        let mut column = Column::new(Kind::Scalar(ScalarKind::Date), DataType::Date32, unfit_as_null, 4);
        column.push(Some(&0_i32.to_be_bytes())).expect("a date");
        assert_eq!(column.push(Some(&i32::MAX.to_be_bytes())).is_ok(), unfit_as_null);
        column.push(Some(&1_i32.to_be_bytes())).expect("a date");
        let array = column.finish().expect("an array");
        let dates: Vec<_> = array.as_primitive::<Date32Type>().iter().collect();
        let expected =
            if unfit_as_null { vec![Some(10_957), None, Some(10_958)] } else { vec![Some(10_957), Some(10_958)] };
        assert_eq!(dates, expected);
    }
}

#[test]
fn more_digits_than_were_described_are_told_and_never_null() {
    // 12345.00: one group of 1 and one of 2345, for a column of four digits before the point.
    let large = [0, 2, 0, 1, 0, 0, 0, 2, 0, 1, 0x09, 0x29];
    let mut column = Column::new(Kind::Scalar(DECIMAL), DataType::Decimal128(6, 2), true, 1);
    assert_eq!(column.push(Some(&large)), Err(Unfit::Stale));
    // 2345.00 has room.
    column.push(Some(&[0, 1, 0, 0, 0, 0, 0, 2, 0x09, 0x29])).expect("four digits");
    let array = column.finish().expect("an array");
    assert_eq!(array.as_primitive::<Decimal128Type>().value(0), 234_500);
}

#[test]
fn lists_hold_nulls_and_are_empty_or_null_themselves() {
    let mut column = list_column(false);
    column.push(Some(&int4_array(1, &[Some(7), None, Some(9)]))).expect("a list");
    column.push(None).expect("NULL");
    column.push(Some(&int4_array(1, &[]))).expect("an empty list");
    let array = column.finish().expect("an array");
    let lists = array.as_list::<i32>();
    assert_eq!(lists.value(0).as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(7), None, Some(9)]);
    assert!(lists.is_null(1) && lists.is_valid(2) && lists.value(2).is_empty());
}

#[test]
fn a_list_that_fails_half_way_leaves_none_of_its_elements_behind() {
    let mut broken = int4_array(1, &[Some(1), Some(2)]);
    broken.truncate(broken.len() - 1);
    let mut column = list_column(false);
    assert!(matches!(column.push(Some(&broken)), Err(Unfit::Malformed(_))));
    assert!(matches!(column.push(Some(&int4_array(0, &[Some(1)]))), Err(Unfit::Unrepresentable(_))));
    column.push(Some(&int4_array(1, &[Some(3)]))).expect("a list");
    let array = column.finish().expect("an array");
    let lists = array.as_list::<i32>();
    assert_eq!((lists.len(), lists.values().len()), (1, 1));
    assert_eq!(lists.value(0).as_primitive::<Int32Type>().value(0), 3);
}

#[test]
fn rows_taken_off_the_end_are_gone_with_their_nulls_and_elements() {
    let mut column = list_column(true);
    column.push(Some(&int4_array(1, &[Some(1)]))).expect("a list");
    column.push(Some(&int4_array(5, &[Some(2)]))).expect("NULL in its place");
    column.push(Some(&int4_array(1, &[Some(3), Some(4)]))).expect("a list");
    column.truncate(1);
    column.push(Some(&int4_array(1, &[Some(5)]))).expect("a list");
    let array = column.finish().expect("an array");
    let lists = array.as_list::<i32>();
    assert_eq!((array.len(), array.null_count()), (2, 0));
    assert_eq!(lists.values().as_primitive::<Int32Type>().values(), &[1, 5]);
}

#[test]
fn a_finished_column_begins_anew() {
    let mut column = column(ScalarKind::Int8, DataType::Int64);
    for round in 0..3_i64 {
        column.push(Some(&round.to_be_bytes())).expect("a number");
        column.push((round == 1).then_some(&[0; 8][..])).expect("a number or NULL");
        let array = column.finish().expect("an array");
        assert_eq!((array.len(), array.null_count()), (2, usize::from(round != 1)));
        assert_eq!(array.as_primitive::<Int64Type>().value(0), round);
    }
}

#[test]
fn text_that_is_not_utf8_is_told_by_its_row_and_bytes_may_be_anything() {
    let mut text = column(ScalarKind::Text, DataType::Utf8);
    for value in [&b"fine"[..], "gr\u{fc}n".as_bytes(), b"\xff", b"after"] {
        text.push(Some(value)).expect("looked at only when the batch ends");
    }
    assert_eq!(text.finish().expect_err("not UTF-8"), 2);
    // Two halves of one character are two broken values.
    let mut halves = column(ScalarKind::Text, DataType::Utf8);
    for value in [b"\xc3", b"\xbc"] {
        halves.push(Some(value)).expect("looked at only when the batch ends");
    }
    assert_eq!(halves.finish().expect_err("not UTF-8"), 0);
    let binary = array_of(ScalarKind::Bytea, DataType::Binary, b"\xff\0");
    assert_eq!(binary.as_binary::<i32>().value(0), b"\xff\0");
}

#[test]
fn jsonb_loses_its_version_and_must_have_one_that_is_known() {
    let json = array_of(ScalarKind::Jsonb, DataType::Utf8, b"\x01[1]");
    assert_eq!(json.as_string::<i32>().value(0), "[1]");
    assert!(matches!(refusal(ScalarKind::Jsonb, DataType::Utf8, b"\x02[1]"), Unfit::Malformed(_)));
    assert!(matches!(refusal(ScalarKind::Jsonb, DataType::Utf8, b""), Unfit::Malformed(_)));
}
