//! The course of one batch of an external source through a function that may fail: which part of it goes
//! next.
//!
//! Records go in their order. A part that fails is tried again, or first cut in two; what has been tried
//! often enough is given up, and the rest goes on. Cutting does not count as a try.

use super::external::Patience;
use std::collections::VecDeque;

/// Parts of a batch that are not done yet, in their order.
#[derive(Debug)]
pub struct Course {
    parts: VecDeque<Part>,
    patience: Patience,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    records: usize,
    failures: u32,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The first part, after a pause.
    Again,
    /// It is smaller now.
    Smaller,
    /// The first part has had all its tries.
    GiveUp,
}

impl Course {
    pub fn new(records: usize, patience: Patience) -> Course {
        let parts = (records > 0).then_some(Part { records, failures: 0 });
        Course { parts: parts.into_iter().collect(), patience }
    }

    /// How many records go next; `None` once all is done.
    pub fn part(&self) -> Option<usize> {
        self.parts.front().map(|part| part.records)
    }

    /// How often the first part has failed.
    pub fn failures(&self) -> u32 {
        self.parts.front().map_or(0, |part| part.failures)
    }

    /// So many of the first part are done, or given up.
    pub fn done(&mut self, mut records: usize) {
        while let Some(part) = self.parts.front_mut() {
            if part.records > records {
                part.records -= records;
                return;
            }
            records -= part.records;
            self.parts.pop_front();
        }
    }

    /// The function has failed on the first part.
    pub fn failed(&mut self) -> Next {
        let Some(part) = self.parts.front_mut() else { return Next::Again };
        if self.patience.bisects && part.records > 1 {
            self.cut();
            return Next::Smaller;
        }
        part.failures += 1;
        match self.patience.retries {
            Some(retries) if part.failures > retries => Next::GiveUp,
            Some(_) | None => Next::Again,
        }
    }

    /// Cuts the first part in two; false if there is nothing to cut.
    pub fn cut(&mut self) -> bool {
        let Some(part) = self.parts.front_mut().filter(|part| part.records > 1) else { return false };
        let rest = Part { records: part.records / 2, ..*part };
        part.records -= rest.records;
        self.parts.insert(1, rest);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(retries: Option<u32>, bisects: bool) -> Patience {
        Patience { retries, max_age: None, bisects }
    }

    #[test]
    fn one_bad_record_is_found_and_the_others_are_done() {
        let (bad, mut at, mut calls) = (5, 0, 0);
        let (mut done, mut dropped) = (Vec::new(), Vec::new());
        let mut course = Course::new(8, patience(Some(1), true));
        while let Some(part) = course.part() {
            calls += 1;
            let records = at..at + part;
            if !records.contains(&bad) {
                done.extend(records);
            } else if course.failed() == Next::GiveUp {
                dropped.extend(records);
            } else {
                continue;
            }
            at += part;
            course.done(part);
        }
        assert_eq!((done, dropped), (vec![0, 1, 2, 3, 4, 6, 7], vec![5]));
        assert_eq!(calls, 3 + 2 + 3, "three cuts, two tries, and the good parts");
    }

    #[test]
    fn retries_are_counted_and_without_a_bound_there_is_no_end() {
        let mut course = Course::new(3, patience(Some(2), false));
        assert_eq!(
            [course.failed(), course.failed(), course.failed()],
            [Next::Again, Next::Again, Next::GiveUp]
        );
        course.done(1);
        assert_eq!((course.part(), course.failures()), (Some(2), 3), "the rest has failed as often");
        course.done(2);
        assert_eq!(course.part(), None);
        let mut course = Course::new(1, patience(None, true));
        assert!((0..1000).all(|_| course.failed() == Next::Again));
    }
}
