//! The bytes of stored records, which are on disks: a change here breaks data directories.

use crate::operation::Piece;
use crate::s3::keys::{OBJECTS, PARTS, VERSIONS};
use crate::s3::model::{
    Body, BodyPart, Bucket, Checksum, Metadata, NullVersion, Pair, Part, StoredPiece, Tags, Upload, Version,
    Versioning,
};
use mayfly_store::Desc;
use mayfly_wire::checksum::Algorithm;
use prost::Message;

/// Writes a record, checks that it reads back the same, and shows its bytes.
fn bytes<M: Message + Default + PartialEq + std::fmt::Debug>(record: &M) -> String {
    let bytes = record.encode_to_vec();
    assert_eq!(&M::decode(&bytes[..]).unwrap(), record);
    hex::encode(bytes)
}

fn pair() -> Pair {
    Pair { name: "n".into(), value: "v".into() }
}

fn metadata() -> Metadata {
    let text = |text: &str| Some(text.to_owned());
    Metadata {
        content_type: text("t"),
        content_encoding: text("e"),
        content_disposition: text("d"),
        content_language: text("l"),
        cache_control: text("c"),
        expires: text("x"),
        redirect: text("r"),
        user: vec![pair()],
    }
}

#[test]
fn records_keep_their_bytes() {
    let bucket = Bucket {
        account: "a".into(),
        region: "r".into(),
        created_ms: 5,
        versioning: Versioning::Suspended.into(),
        policy: "p".into(),
    };
    insta::assert_snapshot!(bytes(&bucket), @"0a0161120172180520022a0170");
    let version = Version {
        seq: 1,
        id: "i".into(),
        delete_marker: true,
        size: 2,
        etag: "e".into(),
        modified_ms: 3,
        metadata: metadata(),
        tags: vec![pair()],
        checksum: Some(Checksum { composite: true, ..Checksum::full(Algorithm::Sha256, "s".into()) }),
        parts: 4,
        upload_id: "u".into(),
    };
    insta::assert_snapshot!(bytes(&version), @"0801120169180120022a016530033a1d0a01741201651a016422016c2a01633201783a017242060a016e12017642060a016e1201764a070805120173180150045a0175");
    let blob = StoredPiece::of(&Piece::Blob { id: "blob".into(), range: 1..3 });
    let inline = StoredPiece::of(&Piece::Inline("in".into()));
    let body = Body {
        parts: vec![BodyPart {
            number: 1,
            size: 4,
            checksum: "c".into(),
            pieces: vec![blob.clone(), inline],
        }],
    };
    insta::assert_snapshot!(bytes(&body), @"0a19080110041a0163220a1204626c6f621801200322040a02696e");
    let upload =
        Upload { initiated_ms: 1, metadata: metadata(), tags: vec![pair()], algorithm: 3, composite: true };
    insta::assert_snapshot!(bytes(&upload), @"0801121d0a01741201651a016422016c2a01633201783a017242060a016e1201761a060a016e12017620032801");
    let part = Part { size: 1, etag: "e".into(), modified_ms: 2, checksum: "c".into(), pieces: vec![blob] };
    insta::assert_snapshot!(bytes(&part), @"080112016518022201632a0a1204626c6f6218012003");
    insta::assert_snapshot!(bytes(&Tags { tags: vec![pair()] }), @"0a060a016e120176");
    insta::assert_snapshot!(bytes(&NullVersion { seq: 7 }), @"0807");
}

#[test]
fn keys_keep_their_bytes() {
    insta::assert_snapshot!(hex::encode(OBJECTS.key(&("b", "k/"))), @"002a6200006b2f0000");
    insta::assert_snapshot!(hex::encode(VERSIONS.key(&("b", "k", Desc(1_u64)))), @"002b6200006b0000fffffffffffffffe");
    insta::assert_snapshot!(hex::encode(PARTS.key(&("u", 258_u32))), @"002d75000000000102");
}
