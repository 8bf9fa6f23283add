//! Instances ahead of demand, shares of an alias, and what retires a version's instances.

use super::{Cloud, invalid};
use crate::cx::Signal;
use crate::lambda::{Standing, check_lead, note, resolve, wanted};
use serde_json::{Value, json};

const PROVISIONED: &str = "/2019-09-30/functions/f/provisioned-concurrency";
const PARAMETER: &str = "InvalidParameterValueException";

/// A function with the versions 1 and 2 and the alias `live` for 1.
fn cloud() -> Cloud {
    let cloud = Cloud::with_function();
    cloud.ok("POST /2015-03-31/functions/f/versions", &json!({}));
    let other = json!({ "Description": "another" });
    cloud.ok("PUT /2015-03-31/functions/f/configuration", &other);
    cloud.prepare(&Ok(Vec::new()));
    cloud.ok("POST /2015-03-31/functions/f/versions", &json!({}));
    let live = json!({ "Name": "live", "FunctionVersion": "1" });
    cloud.ok("POST /2015-03-31/functions/f/aliases", &live);
    cloud
}

fn put(qualifier: &str) -> String {
    format!("PUT {PROVISIONED}?Qualifier={qualifier}")
}

fn count(number: u32) -> Value {
    json!({ "ProvisionedConcurrentExecutions": number })
}

fn config(cloud: &Cloud, qualifier: &str) -> Value {
    cloud.get(&format!("{PROVISIONED}?Qualifier={qualifier}"))
}

#[test]
fn provisioned_concurrency_is_told_as_it_stands() {
    let cloud = cloud();
    let made = cloud.ok(&put("live"), &count(10));
    assert_eq!(
        (&made["Status"], &made["RequestedProvisionedConcurrentExecutions"]),
        (&json!("IN_PROGRESS"), &json!(10))
    );
    let asked = cloud.0.run(wanted);
    let shares: Vec<_> =
        asked[0].shares.iter().map(|(version, count)| (version.label.as_str(), *count)).collect();
    assert_eq!(shares, [("1", 10)]);
    let mut standing = Standing { allocated: 7, available: 4, failure: String::new() };
    cloud.0.run(|cx| note(cx, &asked[0], &standing));
    let told = config(&cloud, "live");
    assert_eq!(told["AllocatedProvisionedConcurrentExecutions"], 7);
    assert_eq!(told["AvailableProvisionedConcurrentExecutions"], 4);
    assert_eq!(told["Status"], "IN_PROGRESS");
    standing.failure = "FUNCTION_ERROR_INIT_FAILURE: Runtime.ImportModuleError".into();
    cloud.0.run(|cx| note(cx, &asked[0], &standing));
    let told = config(&cloud, "live");
    assert_eq!((&told["Status"], &told["StatusReason"]), (&json!("FAILED"), &json!(standing.failure)));
    standing.available = 10;
    cloud.0.run(|cx| note(cx, &asked[0], &standing));
    assert_eq!(config(&cloud, "live")["Status"], "READY");
    // The alias leads elsewhere: nothing is known of what stands there.
    let alias = "PUT /2015-03-31/functions/f/aliases/live";
    let shared =
        json!({ "FunctionVersion": "2", "RoutingConfig": { "AdditionalVersionWeights": { "1": 0.25 } } });
    cloud.ok(alias, &shared);
    assert_eq!(config(&cloud, "live")["Status"], "IN_PROGRESS");
    let shares: Vec<_> = cloud.0.run(wanted)[0]
        .shares
        .iter()
        .map(|(version, count)| (version.label.clone(), *count))
        .collect();
    assert_eq!(shares, [("1".to_owned(), 3), ("2".to_owned(), 7)], "by the alias's weights");
    cloud.ok("DELETE /2015-03-31/functions/f/aliases/live", &Value::Null);
    assert!(cloud.0.run(wanted).is_empty());
}

#[test]
fn provisioned_concurrency_has_its_bounds() {
    let cloud = cloud();
    let unpublished = "Provisioned Concurrency Configs cannot be applied to unpublished function versions.";
    assert_eq!(cloud.refusal(&put("$LATEST"), &count(1)), invalid(PARAMETER, unpublished));
    let none = "No Provisioned Concurrency Config found for this function";
    assert_eq!(
        cloud.refusal(&format!("GET {PROVISIONED}?Qualifier=1"), &Value::Null),
        invalid("ProvisionedConcurrencyConfigNotFoundException", none)
    );
    cloud.ok(&put("live"), &count(5));
    let pointed = "Version is pointed by a Provisioned Concurrency alias";
    assert_eq!(cloud.refusal(&put("1"), &count(1)), invalid("ResourceConflictException", pointed));
    cloud.ok(&put("2"), &count(5));
    let other = json!({ "Name": "other", "FunctionVersion": "2" });
    cloud.ok("POST /2015-03-31/functions/f/aliases", &other);
    let already =
        "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version";
    assert_eq!(cloud.refusal(&put("other"), &count(1)), invalid("ResourceConflictException", already));
    let (_, text) = cloud.refusal(&put("live"), &count(950));
    assert!(text.ends_with("below its minimum value of [100]."), "{text}");
    let (_, text) = cloud.refusal(&put("live"), &count(1001));
    assert!(text.ends_with("unreserved concurrency [1000]."), "{text}");
    let reserve = "PUT /2017-10-31/functions/f/concurrency";
    let (_, text) = cloud.refusal(reserve, &json!({ "ReservedConcurrentExecutions": 9 }));
    assert!(text.contains("[10]"), "{text}");
    cloud.ok(reserve, &json!({ "ReservedConcurrentExecutions": 12 }));
    let (_, text) = cloud.refusal(&put("live"), &count(8));
    assert!(text.contains("should not be greater than the reservedConcurrentExecution"), "{text}");
    cloud.ok(&put("live"), &count(7));
    let listed = cloud.get(&format!("{PROVISIONED}?List=ALL&MaxItems=1"));
    let listed_one = &listed["ProvisionedConcurrencyConfigs"][0];
    assert!(listed_one["FunctionArn"].as_str().unwrap().ends_with(":f:2"), "{listed}");
    let next =
        cloud.get(&format!("{PROVISIONED}?List=ALL&Marker={}", listed["NextMarker"].as_str().unwrap()));
    assert_eq!(next["ProvisionedConcurrencyConfigs"].as_array().unwrap().len(), 1);
    cloud.ok("DELETE /2015-03-31/functions/f", &Value::Null);
    assert!(cloud.0.run(wanted).is_empty());
}

#[test]
fn a_provisioned_alias_leads_to_no_version_with_snapstart() {
    let cloud = cloud();
    let configuration = "PUT /2015-03-31/functions/f/configuration";
    cloud.ok(configuration, &json!({ "SnapStart": { "ApplyOn": "PublishedVersions" } }));
    cloud.prepare(&Ok(Vec::new()));
    assert_eq!(cloud.ok("POST /2015-03-31/functions/f/versions", &json!({}))["Version"], "3");
    let refused =
        |what: &str| invalid(PARAMETER, format!("{what} is not supported for SnapStart enabled functions."));
    let larger = json!({ "EphemeralStorage": { "Size": 513 } });
    assert_eq!(cloud.refusal(configuration, &larger), refused("Ephemeral storage larger than 512 MB"));

    let alias = "PUT /2015-03-31/functions/f/aliases/live";
    let weights = |weights: Value| json!({ "RoutingConfig": { "AdditionalVersionWeights": weights } });
    let provisioned = refused("ProvisionedConcurrency");
    assert_eq!(cloud.refusal(&put("3"), &count(1)), provisioned);
    cloud.ok(alias, &weights(json!({ "3": 0.1 })));
    assert_eq!(cloud.refusal(&put("live"), &count(1)), provisioned, "it leads to one, too");
    cloud.ok(alias, &weights(json!({})));
    cloud.ok(&put("live"), &count(1));
    assert_eq!(cloud.refusal(alias, &json!({ "FunctionVersion": "3" })), provisioned);
    assert_eq!(cloud.refusal(alias, &weights(json!({ "3": 0.1 }))), provisioned);
    assert!(cloud.refusal(alias, &json!({ "FunctionVersion": "$LATEST" })).1.contains("unpublished"));
    let led = |number| cloud.0.run(|cx| Ok(check_lead(cx, ("f", "live"), number)));
    assert!(led(3).is_err_and(|fault| fault.code == PARAMETER), "nor does a deployment lead it there");
    assert!(led(2).is_ok());
    assert_eq!(cloud.get("/2015-03-31/functions/f/aliases/live")["FunctionVersion"], "1");
    cloud.ok(alias, &json!({ "FunctionVersion": "2" }));
}

#[test]
fn an_alias_shares_its_invocations_by_its_weights() {
    let cloud = cloud();
    let weights = json!({ "RoutingConfig": { "AdditionalVersionWeights": { "2": 0.3 } } });
    cloud.ok("PUT /2015-03-31/functions/f/aliases/live", &weights);
    let draw = || cloud.0.run(|cx| Ok(resolve(cx, "f:live")?.draw(cx.ids)));
    let second = (0..10_000).filter(|_| draw().label == "2").count();
    // Four standard deviations around 3,000; the seed is fixed, so this never changes.
    assert!((2_817..=3_183).contains(&second), "{second} of 10000");
}

#[test]
fn an_update_retires_the_instances_of_what_it_replaces_alone() {
    let cloud = cloud();
    let id = |qualifier: &str| cloud.0.run(|cx| resolve(cx, &format!("f:{qualifier}"))).main().id.clone();
    let (latest, first, second) = (id("$LATEST"), id("1"), id("2"));
    let update = "PUT /2015-03-31/functions/f/configuration";
    let signals = cloud.send(update, &json!({ "MemorySize": 256 })).unwrap().signals;
    assert!(signals.contains(&Signal::Retire(latest)), "{signals:?}");
    for kept in [first, second.clone()] {
        assert!(!signals.contains(&Signal::Retire(kept)));
    }
    let signals = cloud.send("DELETE /2015-03-31/functions/f?Qualifier=2", &Value::Null).unwrap().signals;
    assert!(signals.contains(&Signal::Retire(second)), "{signals:?}");
}

#[test]
fn what_all_functions_provision_leaves_the_minimum_free() {
    let cloud = cloud();
    cloud.ok("POST /2015-03-31/functions", &super::function("g"));
    cloud.prepare(&Ok(Vec::new()));
    cloud.ok("POST /2015-03-31/functions/g/versions", &json!({}));
    let other = "PUT /2019-09-30/functions/g/provisioned-concurrency?Qualifier=1";
    cloud.ok(&put("live"), &count(500));
    let refused = cloud.refusal(other, &count(401));
    assert!(
        refused.1.contains("UnreservedConcurrentExecution below its minimum value of [100]"),
        "{refused:?}"
    );
    cloud.ok(other, &count(400));
    cloud.ok(other, &count(399));
    // What is provisioned is part of what its function then reserves, and of nothing that is shared.
    let reserve = |name: &str, number: u32| {
        let request = format!("PUT /2017-10-31/functions/{name}/concurrency");
        cloud.send(&request, &json!({ "ReservedConcurrentExecutions": number }))
    };
    assert!(reserve("f", 502).is_err() && reserve("g", 498).is_err());
    let done = reserve("f", 501).unwrap();
    assert_eq!(done.signals, [Signal::Provision], "the runtime counts its instances elsewhere now");
    assert!(cloud.fault(other, &count(400)).message.contains("minimum value of [100]"));
}
