//! Read sessions of the fake server: partition 2 of query `q` is answered as the query `q#2` is scripted, and as
//! `q#2 live` where it is read at the present state. The strategy is the one that is asked for, else a hash.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _};
use rowstream_contract::v1::{
    CreateReadSessionRequest, CreateReadSessionResponse, DeleteReadSessionRequest, DeleteReadSessionResponse,
    Partition, PartitionStrategy, ReadPartitionRequest, ReadPartitionResponse, RenewReadSessionRequest,
    RenewReadSessionResponse, Snapshot, Statement, StreamQueryRequest, StreamQueryResponse,
    query_service_server::QueryService, read_partition_response, read_session_service_server::ReadSessionService,
    statement::Source, stream_query_response,
};
use tonic::{Request as Call, Response, Status};

use super::{Method, Request, service::Service};

type Events = Pin<Box<dyn Stream<Item = Result<ReadPartitionResponse, Status>> + Send>>;

#[tonic::async_trait]
impl ReadSessionService for Service {
    type ReadPartitionStream = Events;

    async fn create_read_session(
        &self,
        call: Call<CreateReadSessionRequest>,
    ) -> Result<Response<CreateReadSessionResponse>, Status> {
        let message = call.get_ref();
        let query = Request::read(Method::StreamQuery, &call, message.statement.as_ref(), "").query;
        let partition = |number| Partition {
            token: format!("{query}#{number}").into_bytes(),
            estimated_row_count: -1,
            estimated_bytes: -1,
        };
        Ok(Response::new(CreateReadSessionResponse {
            session_id: query.clone(),
            partitions: (1..=message.partitions.max(1)).map(partition).collect(),
            partition_strategy: match message.partition_strategy() {
                PartitionStrategy::Unspecified => PartitionStrategy::Hash.into(),
                asked => asked.into(),
            },
            snapshot: Some(Snapshot { id: "fake".to_owned(), create_time: None }),
            ..CreateReadSessionResponse::default()
        }))
    }

    async fn read_partition(&self, call: Call<ReadPartitionRequest>) -> Result<Response<Events>, Status> {
        let (metadata, extensions, message) = call.into_parts();
        let live = if message.live { " live" } else { "" };
        let query = String::from_utf8_lossy(&message.partition).into_owned() + live;
        let statement = Statement { source: Some(Source::Query(query)), ..Statement::default() };
        let message = StreamQueryRequest {
            statement: Some(statement),
            encoding: message.encoding,
            query_id: message.query_id,
            ..StreamQueryRequest::default()
        };
        let answer = self.stream_query(Call::from_parts(metadata, extensions, message)).await?;
        Ok(Response::new(Box::pin(answer.into_inner().map(|message| message.map(of_a_partition)))))
    }

    /// Sessions of a fake server live for ever.
    async fn renew_read_session(
        &self,
        _: Call<RenewReadSessionRequest>,
    ) -> Result<Response<RenewReadSessionResponse>, Status> {
        Ok(Response::new(RenewReadSessionResponse::default()))
    }

    async fn delete_read_session(
        &self,
        _: Call<DeleteReadSessionRequest>,
    ) -> Result<Response<DeleteReadSessionResponse>, Status> {
        Ok(Response::new(DeleteReadSessionResponse { deleted: true }))
    }
}

fn of_a_partition(message: StreamQueryResponse) -> ReadPartitionResponse {
    use read_partition_response::Event;
    use stream_query_response::Event as Of;
    let event = message.event.map(|event| match event {
        Of::Header(header) => Event::Header(header),
        Of::Batch(batch) => Event::Batch(batch),
        Of::Summary(summary) => Event::Summary(summary),
    });
    ReadPartitionResponse { event, resume_token: message.resume_token }
}
