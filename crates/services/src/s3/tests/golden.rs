//! The bytes of stored records, which are on disks: a change here breaks data directories.

use crate::operation::Piece;
use crate::s3::keys::{OBJECTS, PARTS, VERSIONS};
use crate::s3::model::{
    Body, BodyPart, Bucket, Checksum, Metadata, NullVersion, Pair, Part, StoredPiece, Tags, Upload, Version, Versioning,
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
    let bucket =
        Bucket { account: "a".into(), region: "r".into(), created_ms: 5, versioning: Versioning::Suspended.into() };
    insta::assert_snapshot!(bytes(&bucket), @"");
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
    insta::assert_snapshot!(bytes(&version), @"");
    let blob = StoredPiece::of(&Piece::Blob { id: "blob".into(), range: 1..3 });
    let inline = StoredPiece::of(&Piece::Inline("in".into()));
    let body = Body { parts: vec![BodyPart { number: 1, size: 4, checksum: "c".into(), pieces: vec![blob.clone(), inline] }] };
    insta::assert_snapshot!(bytes(&body), @"");
    let upload = Upload { initiated_ms: 1, metadata: metadata(), tags: vec![pair()], algorithm: 3, composite: true };
    insta::assert_snapshot!(bytes(&upload), @"");
    let part = Part { size: 1, etag: "e".into(), modified_ms: 2, checksum: "c".into(), pieces: vec![blob] };
    insta::assert_snapshot!(bytes(&part), @"");
    insta::assert_snapshot!(bytes(&Tags { tags: vec![pair()] }), @"");
    insta::assert_snapshot!(bytes(&NullVersion { seq: 7 }), @"");
}

#[test]
fn keys_keep_their_bytes() {
    insta::assert_snapshot!(hex::encode(OBJECTS.key(&("b", "k/"))), @"");
    insta::assert_snapshot!(hex::encode(VERSIONS.key(&("b", "k", Desc(1_u64)))), @"");
    insta::assert_snapshot!(hex::encode(PARTS.key(&("u", 258_u32))), @"");
}
