//! Random histories against a model that is nothing but a list.

use super::*;
use mayfly_kernel::ids::Ids;
use std::collections::HashMap;
use std::time::Duration;

const ROUNDS: usize = 400;
const VISIBILITY_S: u64 = 20;

struct Known {
    body: String,
    group: String,
    visible_at: u64,
    received: bool,
    receipt: Option<Value>,
}

/// The model: messages in the order in which they were sent.
#[derive(Default)]
struct Model {
    now: u64,
    messages: Vec<Known>,
    /// Deduplication id: when it was used.
    seen: HashMap<String, u64>,
}

impl Model {
    fn available(&self, fifo: bool) -> Vec<usize> {
        let open = |known: &Known| known.visible_at <= self.now;
        let busy = |group: &str| {
            self.messages.iter().any(|other| other.group == group && other.received && !open(other))
        };
        let mut blocked: Vec<&str> = Vec::new();
        let mut found = Vec::new();
        for (place, known) in self.messages.iter().enumerate() {
            if fifo && (busy(&known.group) || blocked.contains(&known.group.as_str())) {
                continue;
            }
            match open(known) {
                true => found.push(place),
                false => blocked.push(&known.group),
            }
        }
        found
    }

    fn counts(&self) -> (u64, u64, u64) {
        let hidden = |received: bool| {
            let hidden = |known: &&Known| known.visible_at > self.now && known.received == received;
            self.messages.iter().filter(hidden).count() as u64
        };
        let (in_flight, delayed) = (hidden(true), hidden(false));
        (self.messages.len() as u64 - in_flight - delayed, in_flight, delayed)
    }
}

struct History {
    bench: Bench,
    random: Ids,
    url: String,
    fifo: bool,
    model: Model,
    sent: u64,
}

impl History {
    fn new(seed: u64, fifo: bool) -> History {
        let bench = Bench::seed(seed);
        let url = match fifo {
            true => create(
                &bench,
                "h.fifo",
                json!({ "FifoQueue": "true", "VisibilityTimeout": VISIBILITY_S.to_string() }),
            ),
            false => create(&bench, "h", json!({ "VisibilityTimeout": VISIBILITY_S.to_string() })),
        };
        History { bench, random: Ids::seeded(seed + 1), url, fifo, model: Model::default(), sent: 0 }
    }

    fn below(&self, limit: u64) -> u64 {
        self.random.number() % limit
    }

    fn step(&mut self) {
        match self.below(10) {
            0..=3 => self.send(),
            4..=6 => self.receive(),
            7 => self.delete(),
            8 => self.change(),
            _ => self.pass(self.below(15)),
        }
        assert_eq!(counts(&self.bench, &self.url), self.model.counts());
    }

    fn pass(&mut self, seconds: u64) {
        self.bench.advance(Duration::from_secs(seconds));
        self.model.now += seconds;
    }

    fn send(&mut self) {
        self.sent += 1;
        if !self.fifo {
            let (body, delay) = (self.sent.to_string(), self.below(3) * 10);
            let input = json!({ "QueueUrl": self.url, "MessageBody": body, "DelaySeconds": delay });
            call(&self.bench, "SendMessage", input);
            self.note(body, String::new(), delay);
            return;
        }
        // Sometimes an id that was used before.
        let body = if self.below(4) == 0 { self.below(self.sent) } else { self.sent }.to_string();
        let group = format!("g{}", self.below(4));
        send_to(&self.bench, &self.url, &group, &body);
        let known = self.model.seen.get(&body).is_some_and(|at| self.model.now < at + 300);
        if !known {
            self.model.seen.insert(body.clone(), self.model.now);
            self.note(body, group, 0);
        }
    }

    fn note(&mut self, body: String, group: String, delay: u64) {
        let visible_at = self.model.now + delay;
        self.model.messages.push(Known { body, group, visible_at, received: false, receipt: None });
    }

    fn receive(&mut self) {
        let most = usize::try_from(self.below(10)).unwrap() + 1;
        let mut available = self.model.available(self.fifo);
        let got = receive(&self.bench, &self.url, most);
        assert_eq!(got.len(), most.min(available.len()));
        for message in got {
            let body = message["Body"].as_str().unwrap().to_owned();
            let position = available.iter().position(|place| self.model.messages[*place].body == body);
            let place = available.remove(position.expect("only what is available"));
            if self.fifo {
                let group = &self.model.messages[place].group;
                let earlier = available
                    .iter()
                    .any(|other| *other < place && self.model.messages[*other].group == *group);
                assert!(!earlier, "a group is received in its order");
            }
            let known = &mut self.model.messages[place];
            known.visible_at = self.model.now + VISIBILITY_S;
            known.received = true;
            known.receipt = Some(message);
        }
    }

    /// One of the messages that were received.
    fn pick(&self) -> Option<usize> {
        let received: Vec<usize> =
            (0..self.model.messages.len()).filter(|place| self.model.messages[*place].received).collect();
        let place = self.below(received.len().max(1) as u64);
        received.get(usize::try_from(place).unwrap()).copied()
    }

    fn delete(&mut self) {
        let Some(place) = self.pick() else { return };
        let known = &self.model.messages[place];
        let input = json!({ "QueueUrl": self.url, "ReceiptHandle": handle(known.receipt.as_ref().unwrap()) });
        let expired = self.fifo && known.visible_at <= self.model.now;
        assert_eq!(self.bench.call("sqs", "DeleteMessage", &input).is_err(), expired);
        if !expired {
            self.model.messages.remove(place);
        }
    }

    fn change(&mut self) {
        let Some(place) = self.pick() else { return };
        let seconds = self.below(3) * 10;
        let (now, known) = (self.model.now, &mut self.model.messages[place]);
        let input = json!({ "QueueUrl": self.url, "ReceiptHandle": handle(known.receipt.as_ref().unwrap()),
            "VisibilityTimeout": seconds });
        let changed = self.bench.call("sqs", "ChangeMessageVisibility", &input).is_ok();
        assert_eq!(changed, known.visible_at > now);
        if changed {
            known.visible_at = now + seconds;
        }
    }
}

#[test]
fn a_standard_queue_behaves_as_its_model() {
    for seed in 0..20 {
        let mut history = History::new(seed, false);
        (0..ROUNDS).for_each(|_| history.step());
    }
}

#[test]
fn a_fifo_queue_behaves_as_its_model() {
    for seed in 0..20 {
        let mut history = History::new(seed, true);
        (0..ROUNDS).for_each(|_| history.step());
    }
}
