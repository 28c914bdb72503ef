//! What a Parquet file can hold of a result: names of its own for all columns, and text for intervals, because Parquet
//! has no type for months, days and microseconds together.

use std::sync::Arc;

use arrow_array::types::IntervalMonthDayNanoType;
use arrow_array::{Array, ArrayRef, ListArray, RecordBatch, StringArray, StructArray, cast::AsArray as _};
use arrow_buffer::IntervalMonthDayNano;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, SchemaRef};

use super::{pgtext, unique_names};

/// From the schema of a result to the one of its file.
#[derive(Debug)]
pub(super) struct Storable {
    pub(super) schema: SchemaRef,
}

impl Storable {
    /// The schema of the file for a result's; an error tells what no Parquet file can hold.
    pub(super) fn try_new(schema: &Schema) -> Result<Self, String> {
        if schema.fields().is_empty() {
            return Err("the result has no columns, and a Parquet file must have one".to_owned());
        }
        let names = unique_names(schema.fields().iter().map(|field| field.name().as_str()));
        let fields = schema.fields().iter().zip(names);
        let fields: Vec<_> =
            fields.map(|(field, name)| Ok(field_of(field)?.with_name(name))).collect::<Result<_, String>>()?;
        Ok(Self { schema: Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())) })
    }

    /// A batch as it is written.
    pub(super) fn batch(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let columns = batch.columns().iter().zip(self.schema.fields());
        let columns = columns.map(|(column, field)| stored(column, field.data_type())).collect::<Result<_, _>>()?;
        RecordBatch::try_new(self.schema.clone(), columns)
    }
}

fn field_of(field: &Field) -> Result<Field, String> {
    let data_type = match field.data_type() {
        DataType::Interval(_) => DataType::Utf8,
        DataType::List(item) => DataType::List(Arc::new(field_of(item)?)),
        DataType::Struct(fields) if fields.is_empty() => {
            return Err(format!("column {:?} is a composite without columns, which Parquet cannot hold", field.name()));
        }
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| field_of(field).map(FieldRef::new));
            DataType::Struct(fields.collect::<Result<_, _>>()?)
        }
        other => other.clone(),
    };
    Ok(field.clone().with_data_type(data_type))
}

/// An array in the type that it has in the file.
fn stored(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == wanted {
        return Ok(array.clone());
    }
    match (array.data_type(), wanted) {
        (DataType::Interval(_), DataType::Utf8) => {
            let intervals = array.as_primitive_opt::<IntervalMonthDayNanoType>();
            let intervals = intervals.ok_or_else(|| unexpected(array.data_type()))?;
            Ok(Arc::new(StringArray::from_iter(intervals.iter().map(|interval| interval.map(text)))))
        }
        (DataType::List(_), DataType::List(item)) => {
            let (_, offsets, values, nulls) = array.as_list::<i32>().clone().into_parts();
            let values = stored(&values, item.data_type())?;
            Ok(Arc::new(ListArray::try_new(item.clone(), offsets, values, nulls)?))
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let (_, columns, nulls) = array.as_struct().clone().into_parts();
            let columns = columns.iter().zip(fields).map(|(column, field)| stored(column, field.data_type()));
            Ok(Arc::new(StructArray::try_new(fields.clone(), columns.collect::<Result<_, _>>()?, nulls)?))
        }
        (other, _) => Err(unexpected(other)),
    }
}

fn unexpected(data_type: &DataType) -> ArrowError {
    ArrowError::SchemaError(format!("a batch has a column of type {data_type} that the schema does not tell"))
}

/// An interval as PostgreSQL prints it.
fn text(interval: IntervalMonthDayNano) -> String {
    pgtext::interval(interval.months, interval.days, interval.nanoseconds / 1000)
}

#[cfg(test)]
mod tests {
    use arrow_array::{IntervalMonthDayNanoArray, types::Int32Type};
    use arrow_buffer::OffsetBuffer;
    use arrow_schema::{Fields, IntervalUnit};

    use super::*;

    #[test]
    fn intervals_are_text_also_inside_of_lists_and_structs() {
        let interval = DataType::Interval(IntervalUnit::MonthDayNano);
        let values: ArrayRef = Arc::new(IntervalMonthDayNanoArray::from(vec![
            Some(IntervalMonthDayNano::new(14, 3, 14_706_789_000_000)),
            None,
        ]));
        let item: FieldRef = Field::new_list_field(interval.clone(), true).into();
        let list = ListArray::new(item, OffsetBuffer::from_lengths([2]), values.clone(), None);
        let fields: Fields = vec![Field::new("i", interval, true)].into();
        let structs = StructArray::new(fields, vec![values.slice(0, 1)], None);
        let batch = RecordBatch::try_from_iter([
            ("same", Arc::new(values.slice(0, 1)) as ArrayRef),
            ("same", Arc::new(list)),
            ("s", Arc::new(structs)),
        ]);
        let batch = batch.unwrap();
        let storable = Storable::try_new(&batch.schema()).unwrap();
        let stored = storable.batch(&batch).unwrap();
        let text = "1 year 2 mons 3 days 04:05:06.789";
        assert_eq!(stored.column(0).as_string::<i32>().value(0), text);
        let list = stored.column(1).as_list::<i32>().value(0);
        assert_eq!((list.as_string::<i32>().value(0), list.is_null(1)), (text, true));
        assert_eq!(stored.column(2).as_struct().column(0).as_string::<i32>().value(0), text);
        let names: Vec<_> = stored.schema_ref().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["same", "same_2", "s"]);
    }

    #[test]
    fn what_has_no_interval_is_not_touched() {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None])]);
        let batch = RecordBatch::try_from_iter([("list", Arc::new(list) as ArrayRef)]).unwrap();
        let stored = Storable::try_new(&batch.schema()).unwrap().batch(&batch).unwrap();
        assert_eq!(stored, batch);
    }

    #[test]
    fn what_no_file_can_hold_is_told_before_the_first_row() {
        let told = Storable::try_new(&Schema::empty()).unwrap_err();
        assert!(told.contains("no columns"), "{told}");
        let empty = Field::new("e", DataType::Struct(Fields::empty()), true);
        let told = Storable::try_new(&Schema::new(vec![empty])).unwrap_err();
        assert!(told.contains("column \"e\""), "{told}");
    }
}
