//! The bytes of stored records, which are on disks: a change here breaks data directories.

use crate::lambda::keys::{FUNCTIONS, VERSIONS};
use crate::lambda::mappings::model::MappingRow;
use crate::lambda::model::VersionRow;
use crate::lambda::model::{
    AliasRow, AsyncRow, CorsRow, FunctionRow, ImageConfigRow, ImageLayerRow, ImageRow, LayerHeadRow,
    LayerRow, LayerUse, Logging,
};
use crate::lambda::model::{
    PackageRef, PolicyRow, ProvisionedRow, StandingRow, State, StatementRow, TagsRow, Update, UrlIdRow,
    UrlRow, UsageRow,
};
use prost::Message;
use std::collections::BTreeMap;

/// Writes a record, checks that it reads back the same, and shows its bytes.
fn bytes<M: Message + Default + PartialEq + std::fmt::Debug>(record: &M) -> String {
    let bytes = record.encode_to_vec();
    assert_eq!(&M::decode(&bytes[..]).unwrap(), record);
    hex::encode(bytes)
}

fn package() -> PackageRef {
    PackageRef { digest: "d".into(), sha256_base64: "s".into(), size: 1, unpacked_bytes: 2 }
}

fn one() -> BTreeMap<String, String> {
    BTreeMap::from([("k".to_owned(), "v".to_owned())])
}

#[test]
fn records_keep_their_bytes() {
    let function = FunctionRow {
        uid: "u".into(),
        last_version: 3,
        reserved_concurrency: Some(0),
        recursion_allowed: false,
    };
    assert_eq!(bytes(&function), "0a017510031800");
    let alias = AliasRow {
        version: 1,
        description: "d".into(),
        weights: BTreeMap::from([(2, 0.5)]),
        revision_id: "r".into(),
    };
    assert_eq!(bytes(&alias), "08011201641a0b080211000000000000e03f220172");
    let policy = PolicyRow {
        statements: vec![StatementRow { sid: "s".into(), document: "{}".into() }],
        revision_id: "r".into(),
    };
    assert_eq!(bytes(&policy), "0a070a017312027b7d120172");
    let url = UrlRow {
        url_id: "i".into(),
        auth_type: "a".into(),
        cors: Some(CorsRow {
            allow_credentials: Some(true),
            allow_headers: vec!["h".into()],
            allow_methods: vec!["m".into()],
            allow_origins: vec!["o".into()],
            expose_headers: vec!["e".into()],
            max_age_s: Some(9),
        }),
        invoke_mode: "b".into(),
        created_ms: 1,
        modified_ms: 2,
    };
    assert_eq!(bytes(&url), "0a01691201611a1008011201681a016d22016f2a0165300922016228013002");
    let id = UrlIdRow { account: "a".into(), region: "r".into(), name: "n".into(), qualifier: "q".into() };
    assert_eq!(bytes(&id), "0a01611201721a016e220171");
    let config = AsyncRow {
        retries: Some(0),
        max_age_s: Some(60),
        on_success: "s".into(),
        on_failure: "f".into(),
        modified_ms: 1,
    };
    assert_eq!(bytes(&config), "0800103c1a01732201662801");
    assert_eq!(bytes(&TagsRow { tags: one() }), "0a060a016b120176");
    assert_eq!(bytes(&LayerHeadRow { last_version: 2, newest: 1 }), "08021001");
    let layer = LayerRow {
        description: "d".into(),
        license: "l".into(),
        runtimes: vec!["r".into()],
        architectures: vec!["a".into()],
        package: package(),
        created_ms: 1,
    };
    assert_eq!(bytes(&layer), "0a016412016c1a01722201612a0a0a01641201731801200230 01".replace(' ', ""));
    assert_eq!(bytes(&ProvisionedRow { requested: 2, modified_ms: 1 }), "08021001");
    let standing = StandingRow { allocated: 2, available: 1, failure: "f".into() };
    assert_eq!(bytes(&standing), "080210011a0166");
    assert_eq!(bytes(&UsageRow { functions: 1, code_bytes: 2, reserved_concurrency: 3 }), "080110021803");
}

#[test]
fn a_version_keeps_its_bytes() {
    let row = VersionRow {
        number: 1,
        uid: "u".into(),
        generation: 2,
        runtime: "t".into(),
        role: "r".into(),
        handler: "h".into(),
        description: "d".into(),
        timeout_s: 3,
        memory_mib: 4,
        ephemeral_mib: 5,
        environment: one(),
        layers: vec![LayerUse { arn: "a".into(), package: package() }],
        architecture: "x".into(),
        tracing: "p".into(),
        dead_letter: "q".into(),
        logging: Logging {
            format: "f".into(),
            application_level: "a".into(),
            system_level: "s".into(),
            group: "g".into(),
        },
        snap_start: "n".into(),
        package: package(),
        revision_id: "v".into(),
        modified_ms: 6,
        state: State::Active.into(),
        state_reason: "w".into(),
        state_reason_code: "c".into(),
        update: Update::Failed.into(),
        update_reason: "y".into(),
        update_reason_code: "z".into(),
        previous: Some(Box::new(VersionRow::default())),
        image: None,
        image_config: None,
        per_tenant: true,
        snapshot: true,
    };
    let golden = concat!(
        "080112017518022201742a01723201683a01644003480450055a060a016b120176620f0a0161120a",
        "0a0164120173180120026a01787201707a017182010c0a01661201611a01732201678a01016e9201",
        "0a0a0164120173180120029a010176a00106a80102b2010177ba010163c00103ca010179d201017ada0106820100920100f00101",
        "f80101",
    );
    assert_eq!(bytes(&row), golden);
}

#[test]
fn mappings_keep_their_bytes() {
    let row = MappingRow::golden();
    let external = "6a200805120165 1a0174220176 2803 320173 3a0167 4003 4801 5002 5803 6001 6a0166";
    let before = "0a0173120166180120012802300338014004480550065a060a016b120176620170";
    assert_eq!(bytes(&row), format!("{before}{}", external.replace(' ', "")));
}

#[test]
fn keys_keep_their_bytes() {
    let key = ("a".to_owned(), "r".to_owned(), "f".to_owned());
    assert_eq!(hex::encode(FUNCTIONS.key(&key)), "0014610000720000660000");
    let key = ("a".to_owned(), "r".to_owned(), "f".to_owned(), 1);
    assert_eq!(hex::encode(VERSIONS.key(&key)), "00156100007200006600000000000000000001");
}

#[test]
fn records_of_images_keep_their_bytes() {
    let layer = ImageLayerRow { digest: "d".into(), diff_id: "e".into(), size: 1 };
    let image = ImageRow {
        uri: "u".into(),
        resolved: "r".into(),
        layers: vec![layer],
        entry_point: vec!["p".into()],
        command: vec!["c".into()],
        environment: vec!["A=b".into()],
        working_directory: "w".into(),
        registry: "h".into(),
        repository: "n".into(),
    };
    let expected = "0a0175120172 1a080a016412016518012201702a0163 3203413d62 3a0177420168 4a016e";
    assert_eq!(bytes(&image), expected.replace(' ', ""));
    let config = ImageConfigRow {
        entry_point: vec!["p".into()],
        command: vec!["c".into()],
        working_directory: "w".into(),
    };
    assert_eq!(bytes(&config), "0a01701201631a0177");
    let row = VersionRow { image: Some(image), image_config: Some(config), ..VersionRow::default() };
    let bytes = bytes(&row);
    assert!(bytes.contains("e201") && bytes.ends_with("ea01090a01701201631a0177"), "{bytes}");
}
