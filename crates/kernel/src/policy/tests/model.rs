//! The engine against a reference: statements as what they mean, which are written out as JSON for the engine
//! and decided here by the definitions of the user guide, word for word and without any care for cost.

use super::super::{Asker, Decision, Facts, Policy, Request};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::{Map, Value, json};
use std::cell::Cell;
use std::collections::BTreeMap;

/// One sign of a text with wildcards and variables.
#[derive(Clone, Debug, PartialEq)]
enum Sign {
    Char(char),
    Any,
    One,
    /// What the request says of a key, or else this.
    Said(&'static str, Option<&'static str>),
}

use Sign::{Any, Char, One, Said};

fn signs(text: &str) -> Vec<Sign> {
    text.chars().map(Char).collect()
}

fn written(signs: &[Sign]) -> String {
    let sign = |sign: &Sign| match sign {
        Char(sign @ ('*' | '?' | '$')) => format!("${{{sign}}}"),
        Char(sign) => sign.to_string(),
        Any => "*".to_owned(),
        One => "?".to_owned(),
        Said(key, None) => format!("${{{key}}}"),
        Said(key, Some(otherwise)) => format!("${{{key}, '{otherwise}'}}"),
    };
    signs.iter().map(sign).collect()
}

/// With every variable replaced, if the request has one value for each or the document another.
fn filled(signs: &[Sign], asked: &Asked) -> Option<Vec<Sign>> {
    let mut all = Vec::new();
    for sign in signs {
        match sign {
            Said(key, otherwise) => match (&asked.of(key)[..], otherwise) {
                ([said], _) => all.extend(self::signs(&said.text())),
                (_, Some(otherwise)) => all.extend(self::signs(otherwise)),
                (_, None) => return None,
            },
            plain => all.push(plain.clone()),
        }
    }
    Some(all)
}

fn means(signs: &[Sign], text: &[char]) -> bool {
    let Some((first, rest)) = signs.split_first() else { return text.is_empty() };
    match first {
        Any => (0..=text.len()).any(|taken| means(rest, &text[taken..])),
        One => !text.is_empty() && means(rest, &text[1..]),
        Char(sign) => text.first() == Some(sign) && means(rest, &text[1..]),
        Said(..) => unreachable!("variables are filled in"),
    }
}

fn is_like(signs: &[Sign], text: &str, asked: &Asked) -> bool {
    filled(signs, asked).is_some_and(|signs| means(&signs, &text.chars().collect::<Vec<_>>()))
}

fn lower(signs: &[Sign]) -> Vec<Sign> {
    let sign =
        |sign: &Sign| if let Char(sign) = sign { Char(sign.to_ascii_lowercase()) } else { sign.clone() };
    signs.iter().map(sign).collect()
}

/// What a request says of a key, or a document wants of it.
#[derive(Clone, Debug, PartialEq)]
enum Known {
    Text(String),
    Number(i64),
    /// Minutes since the year 2026 began, and how many minutes the clock is ahead that shows them; 1 for seconds
    /// since the epoch.
    Moment(i64, i64),
    Flag(bool),
    Address(u32),
    Arn(Vec<String>),
}

impl Known {
    fn text(&self) -> String {
        match self {
            Known::Text(text) => text.clone(),
            Known::Number(number) if number % 2 == 0 => format!("{number}.0"),
            Known::Number(number) => number.to_string(),
            Known::Moment(minutes, 1) => (1_767_225_600 + minutes * 60).to_string(),
            Known::Moment(minutes, east) => {
                let shown = minutes + east;
                let (day, of_day) = (shown / 1440, shown % 1440);
                let (month, day) = if day < 31 { (1, day + 1) } else { (2, day - 30) };
                let (hour, minute) = (of_day / 60, of_day % 60);
                let sign = if *east < 0 { '-' } else { '+' };
                let zone = format!("{sign}{:02}:{:02}", east.abs() / 60, east.abs() % 60);
                let zone = if *east == 0 { "Z" } else { &zone };
                format!("2026-{month:02}-{day:02}T{hour:02}:{minute:02}:00{zone}")
            }
            Known::Flag(flag) => flag.to_string(),
            Known::Address(bits) => std::net::Ipv4Addr::from_bits(*bits).to_string(),
            Known::Arn(parts) => parts.join(":"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Equals,
    LessThan,
    LessThanEquals,
    GreaterThan,
    GreaterThanEquals,
}

impl Order {
    fn holds<T: PartialOrd>(self, value: T, wanted: T) -> bool {
        match self {
            Order::Equals => value == wanted,
            Order::LessThan => value < wanted,
            Order::LessThanEquals => value <= wanted,
            Order::GreaterThan => value > wanted,
            Order::GreaterThanEquals => value >= wanted,
        }
    }
}

/// An operator, with what a statement wants by it.
#[derive(Clone, Debug)]
enum Test {
    Equals(Vec<Vec<Sign>>),
    EqualsIgnoreCase(Vec<Vec<Sign>>),
    Like(Vec<Vec<Sign>>),
    ArnLike(Vec<Vec<Sign>>),
    Number(Order, Vec<i64>),
    Date(Order, Vec<(i64, i64)>),
    Bool(Vec<bool>),
    Address(Vec<(u32, u32)>),
    Null(Vec<bool>),
}

impl Test {
    /// Kind and manner, between which a `Not` stands, and whether one may.
    fn name(&self) -> (&'static str, String, bool) {
        match self {
            Test::Equals(_) => ("String", "Equals".into(), true),
            Test::EqualsIgnoreCase(_) => ("String", "EqualsIgnoreCase".into(), true),
            Test::Like(_) => ("String", "Like".into(), true),
            Test::ArnLike(wanted) if wanted.len() == 1 => ("Arn", "Equals".into(), true),
            Test::ArnLike(_) => ("Arn", "Like".into(), true),
            Test::Number(order, _) => ("Numeric", format!("{order:?}"), *order == Order::Equals),
            Test::Date(order, _) => ("Date", format!("{order:?}"), *order == Order::Equals),
            Test::Bool(_) => ("Bool", String::new(), false),
            Test::Address(_) => ("", "IpAddress".into(), true),
            Test::Null(_) => ("Null", String::new(), false),
        }
    }

    fn wanted(&self) -> Vec<String> {
        match self {
            Test::Equals(texts)
            | Test::EqualsIgnoreCase(texts)
            | Test::Like(texts)
            | Test::ArnLike(texts) => texts.iter().map(|text| written(text)).collect(),
            Test::Number(_, numbers) => numbers.iter().map(i64::to_string).collect(),
            Test::Date(_, moments) => {
                moments.iter().map(|(at, east)| Known::Moment(*at, *east).text()).collect()
            }
            Test::Bool(flags) | Test::Null(flags) => flags.iter().map(bool::to_string).collect(),
            Test::Address(blocks) => {
                let block = |(bits, kept): &(u32, u32)| format!("{}/{kept}", Known::Address(*bits).text());
                blocks.iter().map(block).collect()
            }
        }
    }

    /// Whether a value is one of what is wanted.
    fn suits(&self, value: &Known, asked: &Asked) -> bool {
        let text = value.text();
        match (self, value) {
            (Test::Equals(texts), _) => {
                texts.iter().any(|wanted| filled(wanted, asked) == Some(signs(&text)))
            }
            (Test::EqualsIgnoreCase(texts), _) => texts.iter().any(|wanted| {
                filled(wanted, asked).is_some_and(|wanted| lower(&wanted) == lower(&signs(&text)))
            }),
            (Test::Like(texts), _) => texts.iter().any(|wanted| is_like(wanted, &text, asked)),
            (Test::ArnLike(texts), Known::Arn(parts)) => texts.iter().any(|wanted| {
                let Some(wanted) = filled(wanted, asked) else { return false };
                let by_parts: Vec<&[Sign]> = wanted.splitn(6, |sign| *sign == Char(':')).collect();
                let part =
                    |(wanted, part): (&&[Sign], &String)| means(wanted, &part.chars().collect::<Vec<_>>());
                wanted == [Any] || by_parts.len() == 6 && by_parts.iter().zip(parts).all(part)
            }),
            (Test::Number(order, numbers), Known::Number(number)) => {
                numbers.iter().any(|wanted| order.holds(number, wanted))
            }
            (Test::Date(order, moments), Known::Moment(moment, _)) => {
                moments.iter().any(|(wanted, _)| order.holds(moment, wanted))
            }
            (Test::Bool(flags), Known::Flag(flag)) => flags.contains(flag),
            (Test::Address(blocks), Known::Address(address)) => blocks.iter().any(|(block, kept)| {
                let dropped = 32 - kept;
                u64::from(*block) >> dropped == u64::from(*address) >> dropped
            }),
            // Not even of its kind.
            _ => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Over {
    Single,
    ForAnyValue,
    ForAllValues,
}

#[derive(Clone, Debug)]
struct Condition {
    key: &'static str,
    test: Test,
    not: bool,
    if_exists: bool,
    over: Over,
}

impl Condition {
    fn operator(&self) -> String {
        let over = if self.over == Over::Single { String::new() } else { format!("{:?}:", self.over) };
        let (kind, manner, _) = self.test.name();
        let not = if self.is_negated() { "Not" } else { "" };
        let if_exists = if self.if_exists && kind != "Null" { "IfExists" } else { "" };
        format!("{over}{kind}{not}{manner}{if_exists}")
    }

    fn is_negated(&self) -> bool {
        self.not && self.test.name().2
    }

    fn holds(&self, asked: &Asked) -> bool {
        let said = asked.of(self.key);
        if let Test::Null(absent) = &self.test {
            return absent.contains(&said.is_empty());
        }
        let matches = |value: &&Known| self.test.suits(value, asked) != self.is_negated();
        match self.over {
            Over::ForAllValues => said.iter().all(matches),
            Over::ForAnyValue => said.iter().any(matches),
            Over::Single if said.is_empty() => self.is_negated() || self.if_exists,
            Over::Single if self.is_negated() => said.iter().all(matches),
            Over::Single => said.iter().any(matches),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Who {
    Everyone,
    Account(&'static str),
    Root(&'static str),
    Role(&'static str, &'static str),
    Session(&'static str, &'static str),
    Service(&'static str),
    Canonical,
}

impl Who {
    fn written(&self) -> (&'static str, String) {
        match self {
            Who::Everyone => ("AWS", "*".into()),
            Who::Account(account) => ("AWS", (*account).into()),
            Who::Root(account) => ("AWS", format!("arn:aws:iam::{account}:root")),
            Who::Role(account, name) => ("AWS", format!("arn:aws:iam::{account}:role/{name}")),
            Who::Session(account, name) => {
                ("AWS", format!("arn:aws:sts::{account}:assumed-role/{name}/{name}"))
            }
            Who::Service(name) => ("Service", (*name).into()),
            Who::Canonical => ("CanonicalUser", "79a59df900b949e5".into()),
        }
    }

    /// Whether a statement that names `self` means who asks, who is one of the others that a statement can name.
    fn means(&self, asks: &Who, of: &str) -> bool {
        match self {
            Who::Everyone => true,
            Who::Account(account) | Who::Root(account) => *asks != Who::Everyone && *account == of,
            Who::Role(account, name) => matches!(asks, Who::Session(of, by) if (of, by) == (account, name)),
            Who::Session(..) | Who::Service(_) => self == asks,
            Who::Canonical => false,
        }
    }
}

#[derive(Clone, Debug)]
struct These<T> {
    not: bool,
    these: Vec<T>,
}

impl<T> These<T> {
    fn has(&self, meant: impl Fn(&T) -> bool) -> bool {
        self.these.iter().any(meant) != self.not
    }

    fn name(&self, element: &str) -> String {
        if self.not { format!("Not{element}") } else { element.to_owned() }
    }
}

#[derive(Clone, Debug)]
struct Statement {
    deny: bool,
    principals: These<Who>,
    actions: These<Vec<Sign>>,
    resources: These<Vec<Sign>>,
    conditions: Vec<Condition>,
}

/// What a request is: who asks, for which account they do, what for, and what it says of keys.
#[derive(Clone, Debug)]
struct Asked {
    who: Who,
    account: &'static str,
    action: String,
    resource: String,
    said: Vec<(&'static str, Known)>,
}

impl Asked {
    fn of(&self, key: &str) -> Vec<&Known> {
        self.said.iter().filter(|(name, _)| *name == key).map(|(_, value)| value).collect()
    }

    fn asker(&self) -> Asker<'static> {
        let account = self.account;
        match self.who {
            Who::Session(account, name) => {
                let arns = vec![self.who.written().1, Who::Role(account, name).written().1];
                Asker::Of { account, arns }
            }
            Who::Root(account) => Asker::Of { account, arns: vec![self.who.written().1] },
            Who::Service(name) => Asker::Service { name, account },
            _ => Asker::Anonymous,
        }
    }
}

impl Statement {
    fn applies(&self, asked: &Asked) -> bool {
        let action = asked.action.to_ascii_lowercase();
        self.principals.has(|who| who.means(&asked.who, asked.account))
            && self.actions.has(|wanted| is_like(&lower(wanted), &action, asked))
            && self.resources.has(|wanted| is_like(wanted, &asked.resource, asked))
            && self.conditions.iter().all(|condition| condition.holds(asked))
    }

    fn written(&self) -> Value {
        let mut principals = BTreeMap::<&str, Vec<String>>::new();
        for (kind, name) in self.principals.these.iter().map(Who::written) {
            principals.entry(kind).or_default().push(name);
        }
        let mut statement = Map::new();
        statement.insert("Effect".into(), json!(if self.deny { "Deny" } else { "Allow" }));
        let anyone = self.principals.these == [Who::Everyone];
        let principals = if anyone { json!("*") } else { json!(principals) };
        statement.insert(self.principals.name("Principal"), principals);
        for (element, these) in [("Action", &self.actions), ("Resource", &self.resources)] {
            let texts: Vec<String> = these.these.iter().map(|text| written(text)).collect();
            statement.insert(these.name(element), one_or_more(texts));
        }
        let mut conditions = Map::new();
        for condition in &self.conditions {
            let keys = conditions.entry(condition.operator()).or_insert_with(|| json!({}));
            keys[condition.key] = one_or_more(condition.test.wanted());
        }
        statement.insert("Condition".into(), Value::Object(conditions));
        Value::Object(statement)
    }
}

fn one_or_more(mut texts: Vec<String>) -> Value {
    if texts.len() == 1 { json!(texts.remove(0)) } else { json!(texts) }
}

fn decided(statements: &[Statement], asked: &Asked) -> Decision {
    let applying = || statements.iter().filter(|statement| statement.applies(asked));
    match (applying().any(|statement| statement.deny), applying().count()) {
        (true, _) => Decision::Denied,
        (false, 0) => Decision::Silent,
        (false, _) => Decision::Allowed,
    }
}

const ACCOUNTS: [&str; 2] = ["111111111111", "222222222222"];
const NAMES: [&str; 2] = ["worker", "clerk"];
const SERVICES: [&str; 2] = ["sns.amazonaws.com", "s3.amazonaws.com"];
/// Two keys of each kind.
const TEXTS: [&str; 2] = ["t:one", "t:two"];
const OTHERS: [&str; 5] = ["n:number", "d:date", "b:flag", "i:address", "a:arn"];
/// A character of two bytes, and wildcards as signs of their own.
const LETTERS: [char; 5] = ['a', 'b', 'A', 'é', '*'];

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(select(&LETTERS[..]), 0..3).prop_map(|letters| letters.into_iter().collect())
}

fn sign() -> impl Strategy<Value = Sign> {
    prop_oneof![
        6 => select(&LETTERS[..]).prop_map(Char),
        2 => Just(Any),
        2 => Just(One),
        1 => (select(&TEXTS[..]), prop::option::of(select(&["a", "bé"][..])))
            .prop_map(|(key, otherwise)| Said(key, otherwise)),
    ]
}

fn pattern() -> impl Strategy<Value = Vec<Sign>> {
    prop::collection::vec(sign(), 0..4)
}

/// Equal signs only: the operators that compare whole texts know no wildcards.
fn plain() -> impl Strategy<Value = Vec<Sign>> {
    pattern().prop_map(|signs| signs.into_iter().filter(|sign| !matches!(sign, Any | One)).collect())
}

/// `s:` and a name, as actions are; written with letters that an action may have.
fn action() -> impl Strategy<Value = Vec<Sign>> {
    let sign = prop_oneof![4 => select(&['a', 'B', 'b'][..]).prop_map(Char), 1 => Just(Any), 1 => Just(One)];
    let named = (select(&["s", "S", "x"][..]), prop::collection::vec(sign, 1..3));
    let named = named.prop_map(|(service, name)| [signs(service), vec![Char(':')], name].concat());
    prop_oneof![1 => Just(vec![Any]), 4 => named]
}

fn arn() -> impl Strategy<Value = Vec<String>> {
    let part = |texts: &'static [&'static str]| select(texts).prop_map(str::to_owned);
    (
        part(&["s", "s", "x"]),
        part(&["r", "r", ""]),
        part(&ACCOUNTS),
        part(&["a", "b", "B", "a:b", "a:b", "b/a"]),
    )
        .prop_map(|(service, region, account, resource)| {
            vec!["arn".into(), "aws".into(), service, region, account, resource]
        })
}

/// An ARN with some of its parts replaced by something with wildcards.
fn arn_pattern() -> impl Strategy<Value = Vec<Sign>> {
    let replaced = prop_oneof![3 => Just(None), 1 => prop::option::of(pattern()), 1 => Just(Some(vec![Any]))];
    (arn(), prop::collection::vec(replaced, 5)).prop_map(|(parts, replaced)| {
        let mut all = signs("arn");
        for (part, replaced) in parts[1..].iter().zip(replaced) {
            all.push(Char(':'));
            all.extend(replaced.unwrap_or_else(|| signs(part)));
        }
        all
    })
}

fn resource() -> impl Strategy<Value = Vec<Sign>> {
    // As a text this means every ARN, as an ARN it has too few parts.
    let short = [signs("arn:aws:"), vec![Any]].concat();
    prop_oneof![1 => Just(vec![Any]), 1 => Just(short), 4 => arn_pattern()]
}

fn who() -> impl Strategy<Value = Who> {
    let (account, name) = (|| select(&ACCOUNTS[..]), || select(&NAMES[..]));
    prop_oneof![
        2 => Just(Who::Everyone),
        1 => account().prop_map(Who::Account),
        1 => account().prop_map(Who::Root),
        1 => (account(), name()).prop_map(|(account, name)| Who::Role(account, name)),
        1 => (account(), name()).prop_map(|(account, name)| Who::Session(account, name)),
        1 => select(&SERVICES[..]).prop_map(Who::Service),
        1 => Just(Who::Canonical),
    ]
}

fn these<T: std::fmt::Debug>(one: impl Strategy<Value = T>) -> impl Strategy<Value = These<T>> {
    let not = prop::bool::weighted(0.25);
    (not, prop::collection::vec(one, 1..3)).prop_map(|(not, these)| These { not, these })
}

fn moment() -> impl Strategy<Value = (i64, i64)> {
    // The last minute of January is another month's in some zones.
    (select(&[1440_i64, 1500, 44_639, 44_640][..]), select(&[0_i64, 1, 90, -300][..]))
}

fn known() -> impl Strategy<Value = (&'static str, Known)> {
    let [number, date, flag, address, of_arn] = OTHERS;
    prop_oneof![
        3 => (select(&TEXTS[..]), text()).prop_map(|(key, text)| (key, Known::Text(text))),
        1 => (-2..3_i64).prop_map(move |value| (number, Known::Number(value))),
        1 => moment().prop_map(move |(at, east)| (date, Known::Moment(at, east))),
        1 => any::<bool>().prop_map(move |value| (flag, Known::Flag(value))),
        1 => (0..4_u32).prop_map(move |value| (address, Known::Address(0x0A00_0000 | value << 15))),
        1 => arn().prop_map(move |parts| (of_arn, Known::Arn(parts))),
    ]
}

fn order() -> impl Strategy<Value = Order> {
    use Order::{Equals, GreaterThan, GreaterThanEquals, LessThan, LessThanEquals};
    select(&[Equals, Equals, LessThan, LessThanEquals, GreaterThan, GreaterThanEquals][..])
}

/// A key and a test of its kind, or one of another.
fn test() -> impl Strategy<Value = (&'static str, Test)> {
    fn few<T: std::fmt::Debug>(one: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
        prop::collection::vec(one, 1..3)
    }
    let [number, date, flag, address, of_arn] = OTHERS;
    let key = || prop_oneof![4 => select(&TEXTS[..]), 1 => select(&OTHERS[..])];
    let kind = |key: &'static str| prop_oneof![6 => Just(key), 1 => select(&TEXTS[..])];
    let block = (0..4_u32, select(&[0_u32, 8, 16, 17, 32][..]));
    let block = block.prop_map(|(value, kept)| (0x0A00_0000 | value << 15, kept));
    prop_oneof![
        (key(), few(plain())).prop_map(|(key, texts)| (key, Test::Equals(texts))),
        (key(), few(plain())).prop_map(|(key, texts)| (key, Test::EqualsIgnoreCase(texts))),
        (key(), few(pattern())).prop_map(|(key, texts)| (key, Test::Like(texts))),
        few(resource()).prop_map(move |texts| (of_arn, Test::ArnLike(texts))),
        (kind(number), order(), few(-2..3_i64)).prop_map(|(key, order, all)| (key, Test::Number(order, all))),
        (kind(date), order(), few(moment())).prop_map(|(key, order, all)| (key, Test::Date(order, all))),
        (kind(flag), few(any::<bool>())).prop_map(|(key, flags)| (key, Test::Bool(flags))),
        (kind(address), few(block)).prop_map(|(key, blocks)| (key, Test::Address(blocks))),
        (key(), few(any::<bool>())).prop_map(|(key, flags)| (key, Test::Null(flags))),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    let over =
        prop_oneof![2 => Just(Over::Single), 1 => Just(Over::ForAnyValue), 1 => Just(Over::ForAllValues)];
    (test(), any::<bool>(), any::<bool>(), over).prop_map(|((key, test), not, if_exists, over)| Condition {
        key,
        test,
        not,
        if_exists,
        over,
    })
}

fn statement() -> impl Strategy<Value = Statement> {
    let conditions = prop::collection::vec(condition(), 0..3).prop_map(|mut conditions| {
        // JSON has one place for an operator and a key.
        let mut places = std::collections::BTreeSet::new();
        conditions.retain(|condition| places.insert((condition.operator(), condition.key)));
        conditions
    });
    (prop::bool::weighted(0.3), these(who()), these(action()), these(resource()), conditions).prop_map(
        |(deny, principals, actions, resources, conditions)| Statement {
            deny,
            principals,
            actions,
            resources,
            conditions,
        },
    )
}

fn asked() -> impl Strategy<Value = Asked> {
    let asks = who().prop_map(|who| match who {
        Who::Account(account) => Who::Root(account),
        Who::Role(account, name) => Who::Session(account, name),
        Who::Canonical => Who::Everyone,
        who => who,
    });
    let action = select(&["s:ab", "S:B", "s:aB", "x:b"][..]).prop_map(str::to_owned);
    let resource = arn().prop_map(|parts| parts.join(":"));
    (asks, select(&ACCOUNTS[..]), action, resource, prop::collection::vec(known(), 0..7)).prop_map(
        |(who, of, action, resource, said)| {
            let account = match who {
                Who::Root(account) | Who::Session(account, _) => account,
                _ => of,
            };
            Asked { who, account, action, resource, said }
        },
    )
}

const CASES: u32 = 2000;
const REQUESTS: usize = 6;

/// What the engine says of requests, which has to be what the model says: how many it is silent about, allows
/// and denies.
fn compare(statements: impl Strategy<Value = Vec<Statement>>) -> [usize; 3] {
    let counts = [const { Cell::new(0) }; 3];
    let cases = (statements, prop::collection::vec(asked(), REQUESTS));
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let compared = TestRunner::new(config).run(&cases, |(statements, requests)| {
        let written: Vec<Value> = statements.iter().map(Statement::written).collect();
        let document = json!({ "Version": "2012-10-17", "Statement": written });
        let read: Result<Policy, _> = serde_json::from_value(document.clone());
        let policy = read.map_err(|error| TestCaseError::fail(format!("{error}: {document}")))?;
        for asked in requests {
            let said = |facts: Facts, known: &(&'static str, Known)| facts.with(known.0, known.1.text());
            let facts = &asked.said.iter().fold(Facts::default(), said);
            let (action, resource) = (asked.action.as_str(), asked.resource.as_str());
            let decision = policy.decide(&Request { asker: asked.asker(), action, resource, facts });
            prop_assert_eq!(decision, decided(&statements, &asked), "{} on {:?}", document, asked);
            let count = match decision {
                Decision::Silent => &counts[0],
                Decision::Allowed => &counts[1],
                Decision::Denied => &counts[2],
            };
            count.set(count.get() + 1);
        }
        Ok(())
    });
    compared.unwrap_or_else(|failure| panic!("{failure}"));
    counts.map(|count| count.get())
}

#[test]
fn a_policy_decides_as_its_model_does() {
    let counts = compare(prop::collection::vec(statement(), 1..4));
    // What never applies tests nothing.
    let least = CASES as usize * REQUESTS / 50;
    assert!(counts.iter().all(|count| *count > least), "silent, allowed, denied: {counts:?}");
}

#[test]
fn a_condition_holds_as_its_model_does() {
    let for_everything = condition().prop_map(|condition| {
        vec![Statement {
            deny: false,
            principals: These { not: false, these: vec![Who::Everyone] },
            actions: These { not: false, these: vec![vec![Any]] },
            resources: These { not: false, these: vec![vec![Any]] },
            conditions: vec![condition],
        }]
    });
    let [not, does, denied] = compare(for_everything);
    let least = CASES as usize * REQUESTS / 10;
    assert!(not > least && does > least && denied == 0, "does not hold, holds: {not}, {does}");
}
