//! Carries a deployment out, step by step, and takes it back if a step fails.
//!
//! The stack's record is written after every step, and before each one that makes something. A deployment
//! that is cut off is taken up by the next one; one that fails is rolled back in reverse: what was made is
//! deleted, what was changed gets its former properties. What was replaced or dropped goes last, when nothing
//! can fail any more.

use super::plan::{Action, compare, value};
use super::resources::{self, Context, Wanted};
use super::stack::{Deployed, Shelf, Stack};
use super::template::{Asked, Resource, Template, is_pending, resolve};
use crate::cli::client::code;
use crate::cli::output::{self, Color, paint};
use anyhow::Context as _;
use serde_json::Value as Json;
use std::fmt;
use std::time::Instant;

pub(super) struct Deployment<'a> {
    pub(super) cx: Context<'a>,
    pub(super) shelf: Shelf<'a>,
    pub(super) stack: Stack,
    /// What it takes to undo the steps so far, the newest last.
    undo: Vec<Undo>,
    /// What the bus has been told that this is; nothing before the first step.
    course: Option<Course>,
}

/// What a deployment is to its stack, in CloudFormation's words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Course {
    Create,
    Update,
}

impl Course {
    fn status(self, end: End) -> &'static str {
        match (self, end) {
            (Course::Create, End::Begun) => "CREATE_IN_PROGRESS",
            (Course::Create, End::Complete) => "CREATE_COMPLETE",
            (Course::Create, End::GoesBack) => "ROLLBACK_IN_PROGRESS",
            (Course::Create, End::Back) => "ROLLBACK_COMPLETE",
            (Course::Update, End::Begun) => "UPDATE_IN_PROGRESS",
            (Course::Update, End::Complete) => "UPDATE_COMPLETE",
            (Course::Update, End::GoesBack) => "UPDATE_ROLLBACK_IN_PROGRESS",
            (Course::Update, End::Back) => "UPDATE_ROLLBACK_COMPLETE",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Begun,
    Complete,
    GoesBack,
    Back,
}

enum Undo {
    /// The resource was made: delete it.
    Made(String),
    /// The resource had these properties, and has or half has others now.
    Changed { was: Box<Deployed>, wanted: Json },
    /// Another stands in the resource's place.
    Replaced(Box<Deployed>),
}

/// A step that failed, and with it the deployment.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) id: String,
    pub(super) line: usize,
    pub(super) error: anyhow::Error,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: resource {}: {:#}", self.line, self.id, self.error)
    }
}

impl<'a> Deployment<'a> {
    pub(super) fn new(cx: Context<'a>, shelf: Shelf<'a>, stack: Stack) -> Deployment<'a> {
        Deployment { cx, shelf, stack, undo: Vec::new(), course: None }
    }

    /// Brings the stack to the template. On a failure it is as it was before, as far as the server allows.
    pub(super) async fn apply(&mut self, template: &Template) -> Result<(), Failure> {
        for resource in &template.resources {
            if let Err(error) = self.step(resource).await {
                self.tell_failure(resource, &error);
                self.roll_back(&error).await;
                return Err(Failure { id: resource.id.clone(), line: resource.line, error });
            }
        }
        self.retire(template).await;
        for output in &template.outputs {
            let found = self.output(output).await;
            found.map_err(|error| Failure { id: output.name.clone(), line: output.line, error })?;
        }
        let names: Vec<&str> = template.outputs.iter().map(|output| output.name.as_str()).collect();
        self.stack.outputs.retain(|name, _| names.contains(&name.as_str()));
        self.tell(End::Complete, "");
        let saved = self.shelf.save(&self.stack).await;
        saved.map_err(|error| Failure { id: "the stack".into(), line: 1, error })
    }

    /// Says with the next write that the deployment goes on, if it has not been said; the first step begins
    /// it.
    fn begin(&mut self) {
        if self.course.is_none() {
            let fresh = self.shelf.is_new();
            self.course = Some(if fresh { Course::Create } else { Course::Update });
            self.tell(End::Begun, "User Initiated");
        }
    }

    /// Says with the next write how far the deployment has come. Of one that has done nothing there is
    /// nothing to say.
    fn tell(&mut self, end: End, reason: &str) {
        if let Some(course) = self.course {
            self.shelf.status(course.status(end), reason);
        }
    }

    fn tell_failure(&mut self, resource: &Resource, error: &anyhow::Error) {
        let known = self.stack.find(&resource.id);
        let status = if known.is_some() { "UPDATE_FAILED" } else { "CREATE_FAILED" };
        let physical = known.map(|known| known.physical.clone()).unwrap_or_default();
        self.shelf.change((&resource.id, &resource.kind, &physical), status, &format!("{error:#}"));
    }

    /// Makes or changes one resource, if it differs from what is there.
    async fn step(&mut self, resource: &Resource) -> anyhow::Result<()> {
        let known = |name: &str, asked: Asked<'_>| value(self.stack.find(name)?, asked);
        let node = resolve(&resource.properties, self.cx.place, &known)
            .map_err(|problem| anyhow::anyhow!("line {}: {}", problem.line, problem.message))?;
        anyhow::ensure!(!is_pending(&node), "a reference of it has no value");
        let properties = node.to_json();
        let was = self.stack.find(&resource.id).cloned();
        let generation = was.as_ref().map_or(0, |was| was.generation);
        let started = Instant::now();
        let verb = match (compare(&resource.kind, &node, was.as_ref()), was) {
            (Action::Update(_), Some(was)) => {
                self.change(resource, was, &properties).await?;
                "updated"
            }
            (Action::Replace(_), Some(was)) => {
                self.make(resource, &properties, generation + 1).await?;
                self.set_aside(was).await?;
                "replaced"
            }
            (Action::Create, _) => {
                self.make(resource, &properties, generation).await?;
                self.undo.push(Undo::Made(resource.id.clone()));
                "created"
            }
            _ => return Ok(()),
        };
        progress(Color::Green, verb, &resource.id, &resource.kind, started);
        Ok(())
    }

    async fn make(&mut self, resource: &Resource, properties: &Json, generation: u32) -> anyhow::Result<()> {
        let resumed = self.stack.making.as_deref() == Some(resource.id.as_str());
        self.stack.making = Some(resource.id.clone());
        self.begin();
        self.shelf.change((&resource.id, &resource.kind, ""), "CREATE_IN_PROGRESS", "");
        self.shelf.save(&self.stack).await?;
        let wanted = Wanted { id: &resource.id, kind: &resource.kind, generation, properties };
        let made = match resources::create(&self.cx, &wanted).await {
            Err(error) if resumed && is_taken(&error) => match resources::cut_off(&self.cx, &wanted) {
                Some(found) => resources::update(&self.cx, &found, &wanted).await,
                None => Err(error),
            },
            made => made,
        };
        self.stack.making = None;
        let made = made?;
        self.shelf.change((&resource.id, &resource.kind, &made.physical), "CREATE_COMPLETE", "");
        self.stack.put(Deployed {
            id: resource.id.clone(),
            kind: resource.kind.clone(),
            physical: made.physical,
            attributes: made.attributes,
            properties: properties.clone(),
            needs: resource.needs.clone(),
            generation,
            retain: resource.retain,
        });
        self.shelf.save(&self.stack).await
    }

    async fn change(&mut self, resource: &Resource, was: Deployed, properties: &Json) -> anyhow::Result<()> {
        resources::keep_code(&self.cx, &was, properties).await.unwrap_or_else(|error| {
            output::warning(format!(
                "the present code of {} cannot be kept for a rollback: {error:#}",
                was.id
            ));
        });
        let wanted = Wanted { id: &was.id, kind: &was.kind, generation: was.generation, properties };
        self.begin();
        self.shelf.change((&was.id, &was.kind, &was.physical), "UPDATE_IN_PROGRESS", "");
        self.shelf.save(&self.stack).await?;
        self.undo.push(Undo::Changed { was: Box::new(was.clone()), wanted: properties.clone() });
        let made = resources::update(&self.cx, &was, &wanted).await?;
        self.shelf.change((&was.id, &was.kind, &made.physical), "UPDATE_COMPLETE", "");
        self.stack.put(Deployed {
            physical: made.physical,
            attributes: made.attributes,
            properties: properties.clone(),
            needs: resource.needs.clone(),
            retain: resource.retain,
            ..was
        });
        self.shelf.save(&self.stack).await
    }

    /// Notes that a replaced resource is to go when all else is done.
    async fn set_aside(&mut self, was: Deployed) -> anyhow::Result<()> {
        let same =
            self.stack.find(&was.id).is_some_and(|now| now.physical == was.physical && now.kind == was.kind);
        // Publishing a version of unchanged code gives the version that there is.
        if !same && !was.retain {
            self.stack.leftovers.push(was.clone());
        }
        self.undo.push(Undo::Replaced(Box::new(was)));
        self.shelf.save(&self.stack).await
    }

    /// Removes what the template no longer has and what was replaced. What cannot go is tried again next
    /// time.
    async fn retire(&mut self, template: &Template) {
        let dropped =
            |deployed: &&Deployed| !template.resources.iter().any(|wanted| wanted.id == deployed.id);
        let gone: Vec<Deployed> = self.stack.resources.iter().filter(dropped).cloned().collect();
        for deployed in gone {
            self.stack.remove(&deployed.id);
            if deployed.retain {
                progress(Color::Yellow, "released", &deployed.id, &deployed.kind, Instant::now());
            } else {
                self.stack.leftovers.push(deployed);
            }
        }
        for place in (0..self.stack.leftovers.len()).rev() {
            let leftover = self.stack.leftovers[place].clone();
            let started = Instant::now();
            self.begin();
            let named = (leftover.id.as_str(), leftover.kind.as_str(), leftover.physical.as_str());
            self.shelf.change(named, "DELETE_IN_PROGRESS", "");
            self.save_quietly().await;
            match resources::delete(&self.cx, &leftover).await {
                Ok(()) => {
                    self.shelf.change(named, "DELETE_COMPLETE", "");
                    self.stack.leftovers.remove(place);
                    progress(Color::Red, "deleted", &leftover.id, &leftover.kind, started);
                }
                Err(error) => {
                    self.shelf.change(named, "DELETE_FAILED", &format!("{error:#}"));
                    output::warning(format!(
                        "{} ({}) could not be deleted: {error:#}",
                        leftover.id, leftover.physical
                    ));
                }
            }
        }
    }

    async fn output(&mut self, output: &super::template::Output) -> anyhow::Result<()> {
        let known = |name: &str, asked: Asked<'_>| value(self.stack.find(name)?, asked);
        let value = resolve(&output.value, self.cx.place, &known)
            .map_err(|problem| anyhow::anyhow!("line {}: {}", problem.line, problem.message))?;
        let text = value.scalar().unwrap_or_else(|| value.to_json().to_string());
        self.stack.outputs.insert(output.name.clone(), self.at_home(&text));
        Ok(())
    }

    /// Templates spell out the address that an API would have at AWS; the stack's own APIs are here.
    fn at_home(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for api in self.stack.resources.iter().filter(|made| made.kind == "AWS::ApiGatewayV2::Api") {
            let theirs =
                format!("https://{}.execute-api.{}.amazonaws.com", api.physical, self.cx.place.region);
            if let Some(endpoint) = api.attributes.get("ApiEndpoint") {
                text = text.replace(&theirs, endpoint);
            }
        }
        text
    }

    async fn roll_back(&mut self, error: &anyhow::Error) {
        self.tell(End::GoesBack, &format!("{error:#}"));
        self.save_quietly().await;
        // What has failed is not gone back to by steps.
        self.cx.at_once.set(true);
        if !self.undo.is_empty() {
            output::note(paint(Color::Yellow, "rolling back"));
        }
        while let Some(undo) = self.undo.pop() {
            let started = Instant::now();
            let id = match &undo {
                Undo::Made(id) => id.clone(),
                Undo::Changed { was, .. } | Undo::Replaced(was) => was.id.clone(),
            };
            let kind = self.stack.find(&id).map(|now| now.kind.clone()).unwrap_or_default();
            let (made, physical) = (matches!(undo, Undo::Made(_)), self.physical(&id));
            match self.take_back(undo).await {
                Ok(verb) => {
                    let status = if made { "DELETE_COMPLETE" } else { "UPDATE_COMPLETE" };
                    self.shelf.change((&id, &kind, &physical), status, "");
                    progress(Color::Yellow, verb, &id, &kind, started);
                }
                Err(error) => {
                    let status = if made { "DELETE_FAILED" } else { "UPDATE_FAILED" };
                    self.shelf.change((&id, &kind, &physical), status, &format!("{error:#}"));
                    output::warning(format!("{id} could not be rolled back: {error:#}"));
                }
            }
            self.save_quietly().await;
        }
        self.tell(End::Back, "");
        // Even if nothing was done, the record may say that something was being made.
        if !self.stack.is_empty() {
            return self.save_quietly().await;
        }
        if let Err(error) = self.shelf.discard().await {
            output::warning(format!("{error:#}"));
        }
    }

    fn physical(&self, id: &str) -> String {
        self.stack.find(id).map(|known| known.physical.clone()).unwrap_or_default()
    }

    async fn take_back(&mut self, undo: Undo) -> anyhow::Result<&'static str> {
        match undo {
            Undo::Made(id) => {
                let made = self.stack.find(&id).cloned().context("it is not in the record")?;
                resources::delete(&self.cx, &made).await?;
                self.stack.remove(&id);
                Ok("deleted")
            }
            Undo::Changed { was, wanted } => {
                let now = Deployed { properties: wanted, ..(*was).clone() };
                let back = Wanted {
                    id: &was.id,
                    kind: &was.kind,
                    generation: was.generation,
                    properties: &was.properties,
                };
                resources::update(&self.cx, &now, &back).await?;
                self.stack.put(*was);
                Ok("restored")
            }
            Undo::Replaced(was) => {
                let now = self.stack.find(&was.id).cloned().context("it is not in the record")?;
                if now.physical != was.physical {
                    resources::delete(&self.cx, &now).await?;
                }
                self.stack
                    .leftovers
                    .retain(|leftover| leftover.physical != was.physical || leftover.id != was.id);
                self.stack.put(*was);
                Ok("restored")
            }
        }
    }

    async fn save_quietly(&mut self) {
        if let Err(error) = self.shelf.save(&self.stack).await {
            output::warning(format!("{error:#}"));
        }
    }
}

/// Removes a whole stack, the newest resource first. Stops at the first that cannot go; the rest stays
/// recorded.
pub(super) async fn tear_down(
    cx: &Context<'_>,
    shelf: &mut Shelf<'_>,
    mut stack: Stack,
) -> anyhow::Result<()> {
    shelf.status("DELETE_IN_PROGRESS", "User Initiated");
    while let Some(gone) = stack.leftovers.pop().or_else(|| stack.resources.pop()) {
        let started = Instant::now();
        let named = (gone.id.as_str(), gone.kind.as_str(), gone.physical.as_str());
        shelf.change(named, "DELETE_IN_PROGRESS", "");
        if gone.retain && gone.kind != "AWS::Lambda::Version" {
            shelf.change(named, "DELETE_SKIPPED", "");
            progress(Color::Yellow, "released", &gone.id, &gone.kind, started);
        } else if let Err(error) = resources::delete(cx, &gone).await {
            let id = gone.id.clone();
            shelf.change(named, "DELETE_FAILED", &format!("{error:#}"));
            shelf.status("DELETE_FAILED", &format!("{error:#}"));
            stack.resources.push(gone);
            shelf.save(&stack).await?;
            return Err(error.context(format!("delete {id}")));
        } else {
            shelf.change(named, "DELETE_COMPLETE", "");
            progress(Color::Red, "deleted", &gone.id, &gone.kind, started);
        }
        shelf.save(&stack).await?;
    }
    shelf.status("DELETE_COMPLETE", "");
    shelf.discard().await
}

/// Whether a name is taken already.
fn is_taken(error: &anyhow::Error) -> bool {
    let taken = [
        "ResourceConflictException",
        "ResourceAlreadyExistsException",
        "BucketAlreadyOwnedByYou",
        "BucketAlreadyExists",
        "ConflictException",
    ];
    code(error).is_some_and(|code| taken.contains(&code))
}

fn progress(color: Color, verb: &str, id: &str, kind: &str, started: Instant) {
    let time = paint(Color::Dim, &format!("{} ms", started.elapsed().as_millis()));
    output::note(format!("  {} {id}  {kind}  {time}", paint(color, &format!("{verb:8}"))));
}
