//! Scenarios through the operation table, on the memory engine, with a manual clock.

mod golden;
mod listings;
mod multipart;
mod notified;
mod objects;
mod settings;
mod versions;

use crate::testing::{Answer, Bench};
use mayfly_kernel::Fault;

/// A cloud with the bucket `box`, and short ways to talk to its S3.
struct Cloud(Bench);

type Headers<'a> = &'a [(&'a str, &'a str)];

impl Cloud {
    fn new() -> Cloud {
        let cloud = Cloud(Bench::seed(5));
        cloud.ok("PUT /box", &[], "");
        cloud
    }

    fn versioned() -> Cloud {
        let cloud = Cloud::new();
        cloud.versioning("Enabled");
        cloud
    }

    fn versioning(&self, status: &str) {
        let body = format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
        self.ok("PUT /box?versioning", &[], &body);
    }

    fn send(&self, request: &str, headers: Headers<'_>, body: &str) -> Result<Answer, Fault> {
        self.0.http("s3", request, headers, body.to_owned())
    }

    fn ok(&self, request: &str, headers: Headers<'_>, body: &str) -> Answer {
        self.send(request, headers, body).unwrap_or_else(|fault| panic!("{request}: {fault}"))
    }

    fn get(&self, path: &str) -> Answer {
        self.ok(&format!("GET {path}"), &[], "")
    }

    /// Puts an object and returns the id of its version, if it has one.
    fn put(&self, path: &str, body: &str) -> String {
        self.ok(&format!("PUT {path}"), &[], body).header("x-amz-version-id").unwrap_or_default().to_owned()
    }

    /// Status, code and sentence of the fault that a request gets.
    fn refusal(&self, request: &str, headers: Headers<'_>, body: &str) -> (u16, String, String) {
        match self.send(request, headers, body) {
            Ok(answer) => panic!("{request} succeeded: {answer:?}"),
            Err(fault) => (fault.status, fault.code.into_owned(), fault.message),
        }
    }

    fn code(&self, request: &str, headers: Headers<'_>, body: &str) -> String {
        self.refusal(request, headers, body).1
    }
}

/// The texts of all elements of this name, in their order.
fn texts(document: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts = document.split(&open).skip(1);
    parts.map(|rest| rest.split_once(&close).expect("a closed element").0.to_owned()).collect()
}

fn text(document: &str, name: &str) -> String {
    texts(document, name).pop().unwrap_or_default()
}

fn refused(status: u16, code: &str, message: &str) -> (u16, String, String) {
    (status, code.into(), message.into())
}
