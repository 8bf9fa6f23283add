//! What becomes of a batch's first records: a function is called with them, or they go through a pipe.

use super::{Held, Worker};
use crate::mappings::external::Desk;
use crate::mappings::external::line::{Line, Trouble};
use crate::mappings::flight::{self, Attempt};
use mayfly_kernel::function::{Invocation, Outcome};
use mayfly_kernel::{Arn, Fault};
use mayfly_services::lambda::mappings::{Contract, Record};
use mayfly_services::readers::{Errand, Passage, Reader, Sink};

const FAILED: &str = "Function call failed";

/// What is wrong if some of the records are not done.
pub(super) fn unfinished(sink: &Sink) -> &'static str {
    match sink {
        Sink::Function(_) => FAILED,
        Sink::Pipe(_) => "The target does not take every event",
    }
}

/// What has become of records.
pub(super) enum Went {
    /// So many of the first are done, which is written down where the broker does not keep it.
    Through(usize),
    Failed(String),
    /// No event has room for them.
    TooLarge,
    /// Nothing has begun, and why.
    Later(String),
    /// The node is going down.
    Draining,
}

fn wanted(held: &[Held]) -> Vec<&Record> {
    held.iter().filter(|held| held.wanted).map(|held| &held.record).collect()
}

/// How many of the first records are done if so many of those are that were wanted.
fn with_unwanted(held: &[Held], done: usize) -> usize {
    let mut wanted = held.iter().enumerate().filter(|(_, held)| held.wanted);
    wanted.nth(done).map_or(held.len(), |(number, _)| number)
}

impl<L: Line> Worker<'_, L> {
    pub(super) async fn through_function(
        &mut self,
        contract: &Contract,
        held: &[Held],
        request_id: &str,
    ) -> Result<Went, Trouble> {
        let wanted = wanted(held);
        let event = contract.event(self.line.name(), wanted.iter().copied())?;
        if event.len() as u64 > self.desk.cloud.runner.limits().invoke_request_bytes {
            return Ok(Went::TooLarge);
        }
        let answer = match self.call(&contract.function, event, contract.event_type(), request_id).await {
            Ok(answer) => answer,
            Err(went) => return Ok(went),
        };
        let done = with_unwanted(held, contract.done(wanted.into_iter(), &answer));
        self.keep_cursor(done).await;
        Ok(Went::Through(done))
    }

    /// Through the enrichment to the target. What lives in the store gets its events in the commit that says
    /// how far the line was read.
    pub(super) async fn through_pipe(&mut self, held: &[Held], request_id: &str) -> Result<Went, Trouble> {
        let Desk { cloud, caller, reader, .. } = self.desk;
        let Reader::Pipe(key) = reader else { return Ok(Went::Failed("this is no pipe".into())) };
        let (line, records) = (self.line.name().to_owned(), wanted(held));
        let begun = cloud.runner.view(caller, "", |cx| Passage::begin(cx, key, &line, &records))?;
        let Some(mut passage) = begun else { return Ok(Went::Later("the pipe is gone".into())) };
        let mut errand = passage.errand()?;
        loop {
            let answer = match errand {
                Errand::Invoke { event, .. }
                    if event.len() as u64 > cloud.runner.limits().invoke_request_bytes =>
                {
                    return Ok(Went::TooLarge);
                }
                Errand::Invoke { function, event, event_type } => {
                    match self.call(&function, event, event_type, request_id).await {
                        Ok(answer) => answer,
                        Err(went) => return Ok(went),
                    }
                }
                Errand::Call(call) => match self.holding(flight::ask(cloud, caller, &call)).await {
                    Some(answer) => answer,
                    None => return Ok(Went::Failed("the API destination does not take it".into())),
                },
                Errand::GiveUp(why) => return Ok(Went::Failed(why)),
                Errand::Settle => break,
            };
            errand = passage.go_on(answer)?;
        }
        let cursors: Vec<Option<i64>> = (0..=held.len()).map(|records| self.line.cursor(records)).collect();
        let mut done = 0;
        flight::persist(cloud, caller, |cx| -> Result<(), Fault> {
            done = with_unwanted(held, passage.settle(cx)?);
            cursors[done].map_or(Ok(()), |next| reader.advance(cx, &line, next))
        })
        .await;
        Ok(Went::Through(done))
    }

    /// What a function answers to an event, or what else has become of it.
    async fn call(
        &mut self,
        function: &Arn,
        event: Vec<u8>,
        event_type: &str,
        request_id: &str,
    ) -> Result<Vec<u8>, Went> {
        let Desk { cloud, caller, .. } = self.desk;
        let invocation = Invocation {
            request_id: request_id.to_owned(),
            event,
            event_type: event_type.into(),
            invoked_arn: function.to_string(),
            client_context: None,
            trace_id: None,
            tenant: None,
            depth: 0,
        };
        match self.holding(flight::attempt(cloud, caller, function, invocation)).await {
            Attempt::Ran(Outcome { result: Ok(answer), .. }) => Ok(answer),
            Attempt::Ran(_) | Attempt::Failed => Err(Went::Failed(FAILED.to_owned())),
            Attempt::Draining => Err(Went::Draining),
            Attempt::Later(why) => Err(Went::Later(why)),
        }
    }
}
