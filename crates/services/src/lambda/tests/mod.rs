//! Scenarios through the operation table, on the memory engine, with a manual clock.

mod external;
mod fabric;
mod functions;
mod golden;
mod images;
mod invoking;
mod layers;
mod mappings;
mod permissions;
mod scaling;

use super::{NotReady, NotRun, Prepared, prepared, settled, version_for};
use crate::fabric::{Record, Target, claim, lanes};
use crate::testing::{Answer, Bench};
use base64::Engine as _;
use mayfly_kernel::Fault;
use mayfly_kernel::function::{FunctionError, Outcome, Report};
use serde_json::{Value, json};

const ROLE: &str = "arn:aws:iam::000000000000:role/runner";
const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

/// A cloud, and short ways to talk to its Lambda.
struct Cloud(Bench);

impl Cloud {
    fn new() -> Cloud {
        Cloud(Bench::seed(11))
    }

    /// One with the function `f`, ready to run.
    fn with_function() -> Cloud {
        let cloud = Cloud::new();
        cloud.ok("POST /2015-03-31/functions", &function("f"));
        cloud.prepare(&Ok(Vec::new()));
        cloud
    }

    fn send(&self, request: &str, input: &Value) -> Result<Answer, Fault> {
        let body = if input.is_null() { Vec::new() } else { serde_json::to_vec(input).unwrap() };
        self.0.http("lambda", request, &[], body)
    }

    fn ok(&self, request: &str, input: &Value) -> Value {
        self.send(request, input).unwrap_or_else(|fault| panic!("{request}: {fault}")).json()
    }

    fn get(&self, path: &str) -> Value {
        self.ok(&format!("GET {path}"), &Value::Null)
    }

    fn fault(&self, request: &str, input: &Value) -> Fault {
        match self.send(request, input) {
            Ok(answer) => panic!("{request} succeeded: {answer:?}"),
            Err(fault) => fault,
        }
    }

    /// The code and the sentence of the fault that a request gets.
    fn refusal(&self, request: &str, input: &Value) -> (String, String) {
        let fault = self.fault(request, input);
        (fault.code.into_owned(), fault.message)
    }

    /// Everything that is due, taken into flight.
    fn claim_due(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for (lane, _) in lanes(self.0.store()).unwrap() {
            records.extend(self.0.run(|cx| claim(cx, self.0.store(), &lane, 100)));
        }
        records
    }

    /// Ends all preparations that are due in the same way, as the fabric's driver does.
    fn prepare(&self, result: &Result<Vec<String>, NotReady>) {
        let result = result.clone().map(|warnings| Prepared { warnings, snapshot: false });
        self.end_preparations(&result);
    }

    fn end_preparations(&self, result: &Result<Prepared, NotReady>) {
        for record in self.claim_due() {
            let Target::Prepare { function, version } = record.target().unwrap() else {
                panic!("an event is due")
            };
            self.0.run(|cx| {
                prepared(cx, &function, &version, result)?;
                crate::fabric::settle(cx, record.clone(), crate::fabric::Verdict::Done)
            });
        }
    }

    fn settle(&self, record: &Record, performed: &Result<Outcome, NotRun>) {
        self.0.run(|cx| settled(cx, record, performed.as_ref()));
    }

    fn runs(&self, record: &Record) -> Option<String> {
        self.0.run(|cx| version_for(cx, record)).map(|version| version.label)
    }
}

fn zip(content: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(content)
}

fn function(name: &str) -> Value {
    json!({
        "FunctionName": name,
        "Runtime": "python3.12",
        "Handler": "app.handler",
        "Role": ROLE,
        "Code": { "ZipFile": zip("first") },
    })
}

/// The same with other members.
fn with(mut input: Value, members: Value) -> Value {
    let Value::Object(members) = members else { panic!("an object") };
    input.as_object_mut().unwrap().extend(members);
    input
}

fn outcome(result: Result<&str, &str>) -> Result<Outcome, NotRun> {
    let error = |payload: &str| FunctionError { error_type: "ValueError".into(), payload: payload.into() };
    let result = result.map(|payload| payload.as_bytes().to_vec()).map_err(error);
    Ok(Outcome { result, log_tail: Vec::new(), report: Report::default() })
}

fn invalid(code: &str, message: impl Into<String>) -> (String, String) {
    (code.into(), message.into())
}
