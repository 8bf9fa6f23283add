//! CloudFormation's intrinsic functions: a tree goes in, and comes out with everything worked out that can
//! be.
//!
//! A reference to a resource that is not known yet stays in the tree as it is, and so does every function
//! that waits for it. Hence one reducer serves all stages: first with the parameters alone, to learn what the
//! template asks for; then, while deploying, with the ids of what has been made.

use super::node::{Entry, Node, Problem, Value};
use super::parameters::Values;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The functions that may stand in a property, for the sentence about an unknown one.
const FUNCTIONS: &str =
    "Ref, Fn::Sub, Fn::GetAtt, Fn::Join, Fn::If, Fn::FindInMap, Fn::Select, Fn::Split, Fn::Base64";

/// Where and for whom the template is deployed: what the pseudo parameters say.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) region: String,
    pub(crate) account: String,
    pub(crate) stack: String,
}

/// What a reference asks of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    /// `Ref`: the resource's id.
    Id,
    Attribute(&'a str),
}

/// Everything a name can mean.
pub(crate) struct Scope<'a> {
    pub(crate) place: &'a Place,
    pub(crate) parameters: &'a Values,
    pub(crate) mappings: Option<&'a Node>,
    pub(crate) conditions: &'a Conditions<'a>,
    /// What is known of a resource by now; `None` leaves the reference in the tree.
    pub(crate) resources: &'a dyn Fn(&str, Asked<'_>) -> Option<String>,
}

/// The template's conditions, each worked out once, when it is first asked for.
pub(crate) struct Conditions<'a> {
    declared: Option<&'a Node>,
    known: RefCell<BTreeMap<String, Option<bool>>>,
}

impl<'a> Conditions<'a> {
    pub(crate) fn new(declared: Option<&'a Node>) -> Conditions<'a> {
        Conditions { declared, known: RefCell::default() }
    }
}

impl Scope<'_> {
    /// Works out what it can. `None` is `AWS::NoValue`: the piece is to be left out.
    pub(crate) fn reduce(&self, node: &Node) -> Result<Option<Node>, Problem> {
        if let Some((function, argument)) = node.intrinsic() {
            return self.call(function, argument, node.line);
        }
        match &node.value {
            Value::List(items) => {
                let mut reduced = Vec::with_capacity(items.len());
                for item in items {
                    reduced.extend(self.reduce(item)?);
                }
                Ok(Some(Node::list(node.line, reduced)))
            }
            Value::Map(entries) => {
                let mut reduced = Vec::with_capacity(entries.len());
                for Entry { key, line, node } in entries {
                    if let Some(node) = self.reduce(node)? {
                        reduced.push(Entry { key: key.clone(), line: *line, node });
                    }
                }
                Ok(Some(Node::new(node.line, Value::Map(reduced))))
            }
            Value::Null | Value::Flag(_) | Value::Number(_) | Value::Text(_) => Ok(Some(node.clone())),
        }
    }

    /// Reduces an argument that may not be left out.
    fn argument(&self, node: &Node) -> Result<Node, Problem> {
        self.reduce(node)?.ok_or_else(|| Problem::new(node.line, "AWS::NoValue cannot stand here"))
    }

    fn call(&self, function: &str, argument: &Node, line: usize) -> Result<Option<Node>, Problem> {
        match function {
            "Ref" => self.reference(argument, line),
            "Fn::If" => self.choose(argument, line),
            "Fn::GetAtt" => self.attribute(argument, line).map(Some),
            "Fn::Sub" => self.substitute(argument, line).map(Some),
            "Fn::Join" => self.join(argument, line).map(Some),
            "Fn::FindInMap" => self.find_in_map(argument, line),
            "Fn::Select" => self.select(argument, line).map(Some),
            "Fn::Split" => self.split(argument, line).map(Some),
            "Fn::Base64" => self.base64(argument, line).map(Some),
            "Fn::Equals" | "Fn::And" | "Fn::Or" | "Fn::Not" => Err(Problem::new(
                line,
                format!("{function} belongs under Conditions; choose here with Fn::If"),
            )),
            "Fn::ImportValue" => Err(Problem::new(
                line,
                "Fn::ImportValue is not supported: stacks do not export values; use a parameter",
            )),
            _ => Err(Problem::new(line, format!("{function} is not supported; supported are {FUNCTIONS}"))),
        }
    }

    fn reference(&self, argument: &Node, line: usize) -> Result<Option<Node>, Problem> {
        let Some(name) = argument.as_text() else {
            return Err(Problem::new(line, format!("Ref takes a name, not {}", argument.kind())));
        };
        if name == "AWS::NoValue" {
            return Ok(None);
        }
        if let Some(value) = self.named(name, line)? {
            return Ok(Some(value));
        }
        let known = (self.resources)(name, Asked::Id);
        Ok(Some(known.map_or_else(|| Node::reference(line, name), |id| Node::text(line, id))))
    }

    /// The value of a parameter or pseudo parameter.
    fn named(&self, name: &str, line: usize) -> Result<Option<Node>, Problem> {
        if let Some(value) = self.parameters.get(name) {
            return Ok(Some(Node { line, ..value.clone() }));
        }
        let Place { region, account, stack } = self.place;
        let text = match name {
            "AWS::Region" => region.clone(),
            "AWS::AccountId" => account.clone(),
            "AWS::StackName" => stack.clone(),
            "AWS::StackId" => format!("arn:aws:cloudformation:{region}:{account}:stack/{stack}/mayfly"),
            "AWS::Partition" => "aws".to_owned(),
            "AWS::URLSuffix" => "amazonaws.com".to_owned(),
            "AWS::NotificationARNs" => return Ok(Some(Node::list(line, Vec::new()))),
            _ if name.starts_with("AWS::") => {
                return Err(Problem::new(line, format!("`{name}` is not a pseudo parameter")));
            }
            _ => return Ok(None),
        };
        Ok(Some(Node::text(line, text)))
    }

    fn attribute(&self, argument: &Node, line: usize) -> Result<Node, Problem> {
        let path = match &argument.value {
            Value::Text(path) => path.split_once('.').map(|(name, rest)| (name.to_owned(), rest.to_owned())),
            Value::List(items) if items.len() == 2 => {
                let attribute = self.argument(&items[1])?;
                items[0].as_text().map(str::to_owned).zip(attribute.scalar())
            }
            _ => None,
        };
        let Some((name, attribute)) = path else {
            return Err(Problem::new(line, "Fn::GetAtt takes a resource and an attribute: Name.Attribute"));
        };
        let known = (self.resources)(&name, Asked::Attribute(&attribute));
        Ok(known.map_or_else(|| Node::attribute(line, &name, &attribute), |value| Node::text(line, value)))
    }

    fn choose(&self, argument: &Node, line: usize) -> Result<Option<Node>, Problem> {
        let [condition, then, otherwise] = argument.items() else {
            return Err(Problem::new(line, "Fn::If takes a condition's name and two values"));
        };
        let Some(name) = condition.as_text() else {
            return Err(Problem::new(line, "the first argument of Fn::If is the name of a condition"));
        };
        self.reduce(if self.condition(name, line)? { then } else { otherwise })
    }

    fn join(&self, argument: &Node, line: usize) -> Result<Node, Problem> {
        let [delimiter, items] = argument.items() else {
            return Err(Problem::new(line, "Fn::Join takes a delimiter and a list"));
        };
        let (delimiter, items) = (self.argument(delimiter)?, self.argument(items)?);
        if let (Some(delimiter), Some(parts)) = (delimiter.scalar(), scalars(&items)) {
            return Ok(Node::text(line, parts.join(&delimiter)));
        }
        if !is_pending(&items) {
            return Err(Problem::new(line, "Fn::Join joins strings"));
        }
        Ok(waiting(line, "Fn::Join", vec![delimiter, items]))
    }

    /// `Fn::Sub` is a `Fn::Join` of its pieces, so what it waits for needs no form of its own.
    fn substitute(&self, argument: &Node, line: usize) -> Result<Node, Problem> {
        let (template, own) = match &argument.value {
            Value::Text(template) => (template.as_str(), None),
            Value::List(items) => match items.as_slice() {
                [template, own] if template.as_text().is_some() => {
                    (template.as_text().unwrap_or_default(), Some(own))
                }
                _ => return Err(Problem::new(line, "Fn::Sub takes a string, or a string and a map")),
            },
            _ => return Err(Problem::new(line, format!("Fn::Sub takes a string, not {}", argument.kind()))),
        };
        let mut pieces = Vec::new();
        for piece in pieces_of(template, line)? {
            pieces.push(match piece {
                Piece::Text(text) => Node::text(line, text),
                Piece::Name(name) => match (own.and_then(|own| own.get(name)), name.split_once('.')) {
                    (Some(value), _) => value.clone(),
                    (None, Some((resource, attribute))) => Node::attribute(line, resource, attribute),
                    (None, None) => Node::reference(line, name),
                },
            });
        }
        let joined = Node::list(line, vec![Node::text(line, ""), Node::list(line, pieces)]);
        self.join(&joined, line)
    }

    fn find_in_map(&self, argument: &Node, line: usize) -> Result<Option<Node>, Problem> {
        let [map, top, second, options @ ..] = argument.items() else {
            return Err(Problem::new(line, "Fn::FindInMap takes a mapping and two keys"));
        };
        let mut path = Vec::new();
        for node in [map, top, second] {
            let key = self.argument(node)?;
            let key =
                key.scalar().ok_or_else(|| Problem::new(line, "Fn::FindInMap cannot look up a resource"))?;
            path.push(key);
        }
        let found = path.iter().try_fold(self.mappings, |node, key| Some(node?.get(key))).flatten();
        match (found, options.first().and_then(|options| options.get("DefaultValue"))) {
            (Some(value), _) => Ok(Some(Node { line, ..value.clone() })),
            (None, Some(default)) => self.reduce(default),
            (None, None) => Err(Problem::new(line, format!("no mapping {} is declared", path.join(" → ")))),
        }
    }

    fn select(&self, argument: &Node, line: usize) -> Result<Node, Problem> {
        let [index, items] = argument.items() else {
            return Err(Problem::new(line, "Fn::Select takes an index and a list"));
        };
        let (index, items) = (self.argument(index)?, self.argument(items)?);
        let Some(at) = index.scalar().and_then(|text| text.parse::<usize>().ok()) else {
            return Err(Problem::new(line, "the first argument of Fn::Select is an index from 0"));
        };
        match &items.value {
            Value::List(list) => list.get(at).cloned().ok_or_else(|| {
                Problem::new(line, format!("Fn::Select asks for item {at} of a list of {}", list.len()))
            }),
            _ if is_pending(&items) => Ok(waiting(line, "Fn::Select", vec![index, items])),
            _ => Err(Problem::new(line, format!("Fn::Select takes a list, not {}", items.kind()))),
        }
    }

    fn split(&self, argument: &Node, line: usize) -> Result<Node, Problem> {
        let [delimiter, text] = argument.items() else {
            return Err(Problem::new(line, "Fn::Split takes a delimiter and a string"));
        };
        let (delimiter, text) = (self.argument(delimiter)?, self.argument(text)?);
        match (delimiter.as_text(), text.scalar()) {
            (Some(delimiter), Some(text)) if !delimiter.is_empty() => {
                Ok(Node::list(line, text.split(delimiter).map(|part| Node::text(line, part)).collect()))
            }
            _ if is_pending(&text) => Ok(waiting(line, "Fn::Split", vec![delimiter, text])),
            _ => Err(Problem::new(line, "Fn::Split takes a delimiter and a string")),
        }
    }

    fn base64(&self, argument: &Node, line: usize) -> Result<Node, Problem> {
        use base64::Engine as _;
        let argument = self.argument(argument)?;
        match argument.scalar() {
            Some(text) => Ok(Node::text(line, base64::engine::general_purpose::STANDARD.encode(text))),
            None if is_pending(&argument) => Ok(Node::map(line, [("Fn::Base64", argument)])),
            None => Err(Problem::new(line, format!("Fn::Base64 takes a string, not {}", argument.kind()))),
        }
    }

    /// Whether the condition of that name holds.
    pub(crate) fn condition(&self, name: &str, line: usize) -> Result<bool, Problem> {
        let Some(entry) = self.conditions.declared.and_then(|declared| declared.entry(name)) else {
            return Err(Problem::new(line, format!("no condition `{name}` is declared")));
        };
        let known = self.conditions.known.borrow().get(name).copied();
        match known {
            Some(Some(holds)) => return Ok(holds),
            Some(None) => {
                return Err(Problem::new(entry.line, format!("condition `{name}` depends on itself")));
            }
            None => {}
        }
        self.conditions.known.borrow_mut().insert(name.to_owned(), None);
        let holds = self.holds(&entry.node)?;
        self.conditions.known.borrow_mut().insert(name.to_owned(), Some(holds));
        Ok(holds)
    }

    fn holds(&self, node: &Node) -> Result<bool, Problem> {
        let line = node.line;
        let [Entry { key, node: argument, .. }] = node.entries() else {
            return Err(Problem::new(
                line,
                "a condition is one of Fn::Equals, Fn::And, Fn::Or, Fn::Not, Condition",
            ));
        };
        let several = || match argument.items().len() {
            2..=10 => Ok(argument.items()),
            _ => Err(Problem::new(line, format!("{key} takes two to ten conditions"))),
        };
        match (key.as_str(), argument.items()) {
            ("Condition", _) => match argument.as_text() {
                Some(name) => self.condition(name, line),
                None => Err(Problem::new(line, "Condition takes the name of a condition")),
            },
            ("Fn::Equals", [left, right]) => {
                let (left, right) = (self.argument(left)?, self.argument(right)?);
                if is_pending(&left) || is_pending(&right) {
                    return Err(Problem::new(line, "a condition can compare parameters, not resources"));
                }
                Ok(match (left.scalar(), right.scalar()) {
                    (Some(left), Some(right)) => left == right,
                    _ => left.to_json() == right.to_json(),
                })
            }
            ("Fn::Equals", _) => Err(Problem::new(line, "Fn::Equals takes two values")),
            ("Fn::Not", [one]) => Ok(!self.holds(one)?),
            ("Fn::Not", _) => Err(Problem::new(line, "Fn::Not takes one condition, in a list")),
            ("Fn::And", _) => several()?.iter().try_fold(true, |all, one| Ok(self.holds(one)? && all)),
            ("Fn::Or", _) => several()?.iter().try_fold(false, |any, one| Ok(self.holds(one)? || any)),
            _ => Err(Problem::new(line, format!("`{key}` is not a condition function"))),
        }
    }
}

/// Whether a value waits for a resource, itself or somewhere inside.
pub(crate) fn is_pending(node: &Node) -> bool {
    node.intrinsic().is_some()
        || node.items().iter().any(is_pending)
        || node.entries().iter().any(|entry| is_pending(&entry.node))
}

/// Calls `visit` for each reference in a reduced tree, with its line.
pub(crate) fn references<'a>(node: &'a Node, visit: &mut dyn FnMut(&'a str, Asked<'a>, usize)) {
    match (node.intrinsic(), node.intrinsic().map(|(_, argument)| argument.items())) {
        (Some(("Ref", name)), _) => visit(name.as_text().unwrap_or_default(), Asked::Id, node.line),
        (Some(("Fn::GetAtt", _)), Some([name, attribute])) => {
            let attribute = Asked::Attribute(attribute.as_text().unwrap_or_default());
            visit(name.as_text().unwrap_or_default(), attribute, node.line);
        }
        _ => {
            node.items().iter().for_each(|item| references(item, visit));
            node.entries().iter().for_each(|entry| references(&entry.node, visit));
        }
    }
}

fn waiting(line: usize, function: &str, arguments: Vec<Node>) -> Node {
    Node::map(line, [(function, Node::list(line, arguments))])
}

fn scalars(list: &Node) -> Option<Vec<String>> {
    match &list.value {
        Value::List(items) => items.iter().map(Node::scalar).collect(),
        _ => None,
    }
}

enum Piece<'a> {
    Text(String),
    Name(&'a str),
}

/// Splits `a-${Name}-${!Literal}` at its names.
fn pieces_of(template: &str, line: usize) -> Result<Vec<Piece<'_>>, Problem> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = template;
    while let Some(start) = rest.find("${") {
        text.push_str(&rest[..start]);
        let Some(length) = rest[start..].find('}') else {
            return Err(Problem::new(line, format!("`{}` has no closing brace", &rest[start..])));
        };
        let name = rest[start + 2..start + length].trim();
        rest = &rest[start + length + 1..];
        match name.strip_prefix('!') {
            Some(literal) => text.push_str(&format!("${{{literal}}}")),
            None => {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                pieces.push(Piece::Name(name));
            }
        }
    }
    text.push_str(rest);
    pieces.push(Piece::Text(text));
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;
    use serde_json::{Value as Json, json};

    const MAPPINGS: &str = "{Sizes: {dev: {Memory: 128, Hosts: [a, b]}, prod: {Memory: 1024}}}";
    const CONDITIONS: &str = "
IsProd: !Equals [!Ref Stage, prod]
IsDev: !Not [!Condition IsProd]
Both: !And [!Condition IsProd, !Condition IsDev]
Either: !Or [!Condition IsProd, !Condition IsDev]
Loop: !Not [!Condition Pool]
Pool: !Not [!Condition Loop]
OfResource: !Equals [!Ref Bucket, x]
";

    fn reduce(text: &str) -> Result<Option<Json>, Problem> {
        let place =
            Place { region: "us-east-1".into(), account: "000000000000".into(), stack: "shop".into() };
        let list = yaml::parse("[x, y]").unwrap();
        let parameters = Values::from([("Stage".into(), Node::text(1, "dev")), ("Hosts".into(), list)]);
        let (mappings, conditions) = (yaml::parse(MAPPINGS).unwrap(), yaml::parse(CONDITIONS).unwrap());
        let known = |name: &str, asked: Asked<'_>| match (name, asked) {
            ("Table", Asked::Id) => Some("shop-Table".to_owned()),
            ("Table", Asked::Attribute("Arn")) => Some("arn:table".to_owned()),
            _ => None,
        };
        let scope = Scope {
            place: &place,
            parameters: &parameters,
            mappings: Some(&mappings),
            conditions: &Conditions::new(Some(&conditions)),
            resources: &known,
        };
        Ok(scope.reduce(&yaml::parse(text).unwrap())?.map(|node| node.to_json()))
    }

    #[test]
    fn what_is_known_is_worked_out() {
        let cases = [
            ("!Ref Stage", json!("dev")),
            ("!Ref Table", json!("shop-Table")),
            ("!GetAtt Table.Arn", json!("arn:table")),
            ("!GetAtt [Table, Arn]", json!("arn:table")),
            ("!Sub '${AWS::StackName}-${Stage}-${Table.Arn}-${!Kept}'", json!("shop-dev-arn:table-${Kept}")),
            ("!Sub ['${a}/${Stage}', {a: !Ref Table}]", json!("shop-Table/dev")),
            ("!Sub 'no names, only $ and {}'", json!("no names, only $ and {}")),
            ("!Join ['-', [a, 1, !Ref Stage]]", json!("a-1-dev")),
            ("!Join [',', !Ref Hosts]", json!("x,y")),
            ("!If [IsDev, [1], [2]]", json!([1])),
            ("{a: !If [IsProd, 1, !Ref AWS::NoValue], b: 2}", json!({"b": 2})),
            ("[1, !If [Both, 2, !Ref AWS::NoValue], 3]", json!([1, 3])),
            ("!If [Either, yes, no]", json!("yes")),
            ("!FindInMap [Sizes, !Ref Stage, Memory]", json!(128)),
            ("!FindInMap [Sizes, test, Memory, {DefaultValue: 64}]", json!(64)),
            ("!Select [1, !FindInMap [Sizes, dev, Hosts]]", json!("b")),
            ("!Select ['0', !Split ['/', 'a/b/c']]", json!("a")),
            ("Fn::Base64: !Sub '${Stage}!'", json!("ZGV2IQ==")),
            ("{Condition: {StringEquals: {a: b}}}", json!({"Condition": {"StringEquals": {"a": "b"}}})),
        ];
        for (text, expected) in cases {
            assert_eq!(reduce(text).unwrap(), Some(expected), "{text}");
        }
        assert_eq!(reduce("!Ref AWS::NoValue").unwrap(), None);
    }

    #[test]
    fn what_is_not_known_waits_in_a_form_that_can_be_reduced_again() {
        let bucket = json!({"Ref": "Bucket"});
        let cases = [
            ("!Ref Bucket", bucket.clone()),
            ("!GetAtt Bucket.Arn", json!({"Fn::GetAtt": ["Bucket", "Arn"]})),
            ("!Sub '${Stage}/${Bucket}'", json!({"Fn::Join": ["", ["", "dev", "/", bucket, ""]]})),
            ("!Join ['-', [!Ref Stage, !Ref Bucket]]", json!({"Fn::Join": ["-", ["dev", bucket]]})),
            (
                "!Select [0, !Split ['-', !Ref Bucket]]",
                json!({"Fn::Select": [0, {"Fn::Split": ["-", bucket]}]}),
            ),
            ("!Base64 {Ref: Bucket}", json!({"Fn::Base64": bucket})),
        ];
        for (text, expected) in cases {
            assert_eq!(reduce(text).unwrap(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_call_that_cannot_be_is_told_with_its_line() {
        let cases = [
            ("!Ref AWS::Nothing", "`AWS::Nothing` is not a pseudo parameter"),
            ("!Ref [a]", "Ref takes a name, not a list"),
            ("!GetAtt Table", "Name.Attribute"),
            ("!Sub '${Stage'", "has no closing brace"),
            ("!Join [a]", "Fn::Join takes a delimiter and a list"),
            ("!Join ['', [{a: b}]]", "Fn::Join joins strings"),
            ("!If [Nope, 1, 2]", "no condition `Nope` is declared"),
            ("!If [Loop, 1, 2]", "depends on itself"),
            ("!If [OfResource, 1, 2]", "a condition can compare parameters, not resources"),
            ("!Select [5, [a]]", "item 5 of a list of 1"),
            ("!FindInMap [Sizes, test, Memory]", "no mapping Sizes → test → Memory is declared"),
            ("!ImportValue other-Arn", "stacks do not export values"),
            ("!Equals [a, a]", "belongs under Conditions"),
            ("!GetAZs ''", "Fn::GetAZs is not supported; supported are Ref,"),
        ];
        for (text, message) in cases {
            let problem = reduce(&format!("\n\na: {text}")).unwrap_err();
            assert!(problem.message.contains(message), "{text}: {problem}");
            assert!(problem.line >= 3, "{text}: {problem}");
        }
    }

    #[test]
    fn every_reference_left_is_visited() {
        let place = Place { region: String::new(), account: String::new(), stack: String::new() };
        let scope = Scope {
            place: &place,
            parameters: &Values::new(),
            mappings: None,
            conditions: &Conditions::new(None),
            resources: &|_, _| None,
        };
        let text = "{a: [!Sub '${A}-${B.Arn}'], b: {c: !Ref C}, d: !Select [0, !Split [',', !GetAtt D.X.Y]]}";
        let reduced = scope.reduce(&yaml::parse(text).unwrap()).unwrap().unwrap();
        let mut seen = Vec::new();
        references(&reduced, &mut |name, asked, _| seen.push((name.to_owned(), format!("{asked:?}"))));
        let names: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["A", "B", "C", "D"]);
        assert_eq!(seen[3].1, "Attribute(\"X.Y\")");
        assert!(is_pending(&reduced));
    }
}
