//! Looking up requests for approval: whoever asks while others are being answered is answered together with all who do.
//! Thousands of held calls may look at once, and each statement goes to another thread, or over a network.

use std::collections::HashMap;

use tokio::sync::{mpsc, oneshot};

use super::statements::Reader;
use super::{QUEUE, StoreError};
use crate::approval::Approval;

/// The most ids that are looked up together.
const BATCH: usize = 256;

type Found = Result<Option<Approval>, StoreError>;

struct Asked {
    id: String,
    reply: oneshot::Sender<Found>,
}

/// Clones ask the same task, which ends with the last of them.
#[derive(Clone)]
pub(super) struct Lookups(mpsc::Sender<Asked>);

impl Lookups {
    pub(super) fn new(reader: Reader) -> Self {
        let (asking, asked) = mpsc::channel(QUEUE);
        tokio::spawn(answer(reader, asked));
        Self(asking)
    }

    /// The request, without the body of its call.
    pub(super) async fn approval(&self, id: &str) -> Found {
        let (reply, found) = oneshot::channel();
        let asked = Asked { id: id.to_owned(), reply };
        self.0.send(asked).await.map_err(|_| StoreError::Closed)?;
        found.await.map_err(|_| StoreError::Closed)?
    }
}

async fn answer(reader: Reader, mut asked: mpsc::Receiver<Asked>) {
    let mut batch = Vec::with_capacity(BATCH);
    while asked.recv_many(&mut batch, BATCH).await > 0 {
        // Nobody waits any more for what took too long.
        batch.retain(|one: &Asked| !one.reply.is_closed());
        let mut ids: Vec<String> = batch.iter().map(|one| one.id.clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        let found = reader.all_of(&ids).await.map(HashMap::<_, _>::from_iter);
        for Asked { id, reply } in batch.drain(..) {
            let answer = match &found {
                Ok(found) => found.get(&id).cloned().transpose(),
                Err(error) => Err(error.clone()),
            };
            let _ = reply.send(answer);
        }
    }
}
