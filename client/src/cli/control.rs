//! `rowstream health` and `rowstream cancel`.

use rowstream_client::{Client, Health};

use super::{args::Cancel, failure::Failure, print};

pub(crate) async fn health(client: &Client) -> Result<(), Failure> {
    let (told, serving) = match client.health().await? {
        Health::Serving => ("SERVING", true),
        Health::NotServing => ("NOT_SERVING", false),
        Health::Unknown => ("SERVICE_UNKNOWN", false),
    };
    print(&format!("{told}\n"))?;
    if serving { Ok(()) } else { Err(Failure::NotServing(told)) }
}

pub(crate) async fn cancel(client: &Client, cancel: Cancel) -> Result<(), Failure> {
    let running = client.cancel(cancel.query_id).await?;
    print(if running { "cancelled\n" } else { "not running\n" })
}
