//! Arrow's IPC formats: messages are written as they came, and a file gets its footer.

use arrow_ipc::{Block, FooterBuilder, MetadataVersion, convert::IpcSchemaEncoder};
use bytes::Bytes;
use flatbuffers::FlatBufferBuilder;

use crate::{
    ArrowIpcStream, Error,
    arrow::{Decoder, SchemaRef, body_offset},
};

const MAGIC: &[u8; 6] = b"ARROW1";
/// Where bodies begin in a file: so a reader that maps it into memory copies nothing.
const ALIGNMENT: usize = 64;

/// Writes a result in one of Arrow's two IPC formats. The messages themselves, and so how they are compressed, stay as
/// they are.
#[derive(Debug, Default)]
pub struct ArrowSink {
    /// What the footer of a file needs; nothing in the streaming format.
    file: Option<Footer>,
}

#[derive(Debug, Default)]
struct Footer {
    schema: Option<SchemaRef>,
    batches: Vec<Block>,
    /// Where the next message begins.
    offset: usize,
}

impl ArrowSink {
    /// The streaming format (`.arrows`), for pipes.
    #[must_use]
    pub fn stream() -> Self {
        Self::default()
    }

    /// The file format (`.arrow`), also known as Feather V2, whose batches can be found one by one.
    #[must_use]
    pub fn file() -> Self {
        Self { file: Some(Footer::default()) }
    }

    /// Starts, with the schema's message.
    ///
    /// # Errors
    /// [`Error::Protocol`] if it is none.
    pub fn begin(&mut self, schema: &Bytes, out: &mut Vec<u8>) -> Result<(), Error> {
        let Some(footer) = &mut self.file else {
            out.extend_from_slice(schema);
            return Ok(());
        };
        footer.schema = Some(Decoder::try_new(schema)?.schema().clone());
        let start = out.len();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[0; 2]);
        footer.offset = out.len() - start;
        footer.message(schema, out)?;
        Ok(())
    }

    /// Appends a record batch's message.
    ///
    /// # Errors
    /// [`Error::Protocol`] if it is none.
    pub fn message(&mut self, message: &Bytes, out: &mut Vec<u8>) -> Result<(), Error> {
        match &mut self.file {
            Some(footer) => {
                let block = footer.message(message, out)?;
                footer.batches.push(block);
            }
            None => out.extend_from_slice(message),
        }
        Ok(())
    }

    /// Ends.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&ArrowIpcStream::END_OF_STREAM);
        if let Some(footer) = &self.file {
            footer.write(out);
        }
    }
}

impl Footer {
    /// Appends a message, its metadata made longer by as many zeros as align its body.
    fn message(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<Block, Error> {
        let impossible = |_| Error::protocol("a message of Arrow that is too long");
        let body = body_offset(message)?;
        let metadata = (self.offset + body).next_multiple_of(ALIGNMENT) - self.offset;
        let length = u32::try_from(metadata - 8).map_err(impossible)?;
        out.extend_from_slice(&message[..4]);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&message[8..body]);
        out.resize(out.len() + metadata - body, 0);
        out.extend_from_slice(&message[body..]);
        let body = message.len() - body;
        let block = Block::new(
            self.offset.try_into().map_err(impossible)?,
            metadata.try_into().map_err(impossible)?,
            body.try_into().map_err(impossible)?,
        );
        self.offset += metadata + body;
        Ok(block)
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut builder = FlatBufferBuilder::new();
        let batches = builder.create_vector(&self.batches);
        let dictionaries = builder.create_vector::<Block>(&[]);
        let schema =
            self.schema.as_ref().map(|schema| IpcSchemaEncoder::new().schema_to_fb_offset(&mut builder, schema));
        let mut footer = FooterBuilder::new(&mut builder);
        footer.add_version(MetadataVersion::V5);
        schema.into_iter().for_each(|schema| footer.add_schema(schema));
        footer.add_dictionaries(dictionaries);
        footer.add_recordBatches(batches);
        let footer = footer.finish();
        builder.finish(footer, None);
        let footer = builder.finished_data();
        out.extend_from_slice(footer);
        // Flatbuffers are never longer than 2 GiB.
        out.extend_from_slice(&i32::try_from(footer.len()).unwrap_or(i32::MAX).to_le_bytes());
        out.extend_from_slice(MAGIC);
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Cursor, sync::Arc};

    use arrow_array::{Int64Array, RecordBatch, StringArray};
    use arrow_ipc::{
        reader::{FileReader, StreamReader},
        writer::StreamWriter,
    };

    use super::*;

    fn batches() -> Vec<RecordBatch> {
        let batch = |rows: i64| {
            let ids = Int64Array::from_iter_values(0..rows);
            let names = StringArray::from_iter_values((0..rows).map(|row| format!("{:x}", row * row)));
            RecordBatch::try_from_iter([("id", Arc::new(ids) as _), ("name", Arc::new(names) as _)]).unwrap()
        };
        vec![batch(1), batch(1000), batch(3)]
    }

    fn written(mut sink: ArrowSink) -> Vec<u8> {
        let batches = batches();
        let mut writer = StreamWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
        let mut out = Vec::new();
        sink.begin(&std::mem::take(writer.get_mut()).into(), &mut out).unwrap();
        for batch in &batches {
            writer.write(batch).unwrap();
            sink.message(&std::mem::take(writer.get_mut()).into(), &mut out).unwrap();
        }
        sink.end(&mut out);
        out
    }

    #[test]
    fn a_stream_reads_back() {
        let reader = StreamReader::try_new(Cursor::new(written(ArrowSink::stream())), None).unwrap();
        assert_eq!(reader.collect::<Result<Vec<_>, _>>().unwrap(), batches());
    }

    #[test]
    fn a_file_reads_back_in_any_order_and_is_a_stream_inside() {
        let file = written(ArrowSink::file());
        let mut reader = FileReader::try_new(Cursor::new(&file), None).unwrap();
        reader.set_index(2).unwrap();
        assert_eq!(reader.next().unwrap().unwrap(), batches()[2]);
        reader.set_index(0).unwrap();
        assert_eq!(reader.collect::<Result<Vec<_>, _>>().unwrap(), batches());
        let inside = StreamReader::try_new(Cursor::new(&file[8..]), None).unwrap();
        assert_eq!(inside.collect::<Result<Vec<_>, _>>().unwrap(), batches());
    }

    #[test]
    fn the_body_of_every_batch_in_a_file_is_aligned() {
        let mut sink = ArrowSink::file();
        let mut writer = StreamWriter::try_new(Vec::new(), &batches()[0].schema()).unwrap();
        sink.begin(&std::mem::take(writer.get_mut()).into(), &mut Vec::new()).unwrap();
        for batch in batches() {
            writer.write(&batch).unwrap();
            sink.message(&std::mem::take(writer.get_mut()).into(), &mut Vec::new()).unwrap();
        }
        let blocks = &sink.file.unwrap().batches;
        assert_eq!(blocks.len(), 3);
        assert!(blocks.iter().all(|block| (block.offset() + i64::from(block.metaDataLength())) % 64 == 0));
    }

    #[test]
    fn an_empty_result_is_a_file_without_batches() {
        let writer = StreamWriter::try_new(Vec::new(), &batches()[0].schema()).unwrap();
        let (mut sink, mut out) = (ArrowSink::file(), Vec::new());
        sink.begin(&writer.get_ref().clone().into(), &mut out).unwrap();
        sink.end(&mut out);
        let reader = FileReader::try_new(Cursor::new(out), None).unwrap();
        assert_eq!((reader.schema(), reader.num_batches()), (batches()[0].schema(), 0));
    }
}
