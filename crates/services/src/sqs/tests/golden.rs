//! The bytes of stored records and keys, which are on disks: a change here breaks data directories.

use super::super::keys::*;
use super::super::model::*;
use mayfly_kernel::Time;
use std::collections::BTreeMap;

/// Writes a record, checks that it reads back the same, and shows its bytes.
fn bytes<M: prost::Message + Default + PartialEq + std::fmt::Debug>(record: &M) -> String {
    let bytes = record.encode_to_vec();
    assert_eq!(&M::decode(&bytes[..]).unwrap(), record);
    hex::encode(bytes)
}

fn state() -> State {
    State { due_ms: 1, receives: 2, first_received_ms: 3, nonce: 4, counted_s: 5, received_ms: 6 }
}

#[test]
fn records_keep_their_bytes() {
    let queue = Queue {
        id: 1,
        birth: 2,
        created_ms: 3,
        modified_ms: 4,
        fifo: true,
        visibility_s: 6,
        message_bytes: 7,
        retention_s: 8,
        delay_s: 9,
        wait_s: 10,
        redrive: Some(Redrive { target_arn: "t".into(), max_receives: 2 }),
        redrive_allow: "a".into(),
        policy: "p".into(),
        content_dedup: true,
        dedup_per_group: true,
        limit_per_group: true,
        tags: BTreeMap::from([("k".into(), "v".into())]),
    };
    let name = QueueName { account: "a".into(), region: "r".into(), name: "n".into() };
    let attribute = Attribute {
        name: "n".into(),
        data_type: "t".into(),
        text: Some("s".into()),
        binary: Some(bytes::Bytes::from_static(b"b")),
    };
    let message = Message {
        id: "i".into(),
        body: bytes::Bytes::from_static(b"b"),
        attributes: vec![attribute],
        trace: "t".into(),
        sender: "s".into(),
        group: "g".into(),
        dedup: "d".into(),
        seq: 8,
        arrived_ms: 9,
        delay_s: 10,
        dead_letter_source: "q".into(),
        receives_before: 12,
        first_received_ms: 13,
        depth: 14,
    };
    let given = Given { group: "g".into(), seq: 2, nonce: 3 };
    let task = Move {
        source_arn: "s".into(),
        destination_arn: "d".into(),
        per_second: 3,
        status: MoveStatus::Running.into(),
        moved: 5,
        to_move: 6,
        started_ms: 7,
        failure: "f".into(),
    };
    insta::assert_snapshot!([
        bytes(&queue),
        bytes(&name),
        bytes(&message),
        bytes(&state()),
        bytes(&Tail { seq: 1 }),
        bytes(&Head { due_ms: 1, seq: 2 }),
        bytes(&Line { sent_ms: 1, uid: 2, ready_ms: 3, state: Some(state()) }),
        bytes(&Seen { at_ms: 1, message: "m".into(), seq: 3 }),
        bytes(&Attempt { at_ms: 1, given: vec![given] }),
        bytes(&task),
    ]
    .join("\n"), @r"
    080110021803200428013006380740084809500a5a050a017410026201616a0170700178018001018a01060a016b120176
    0a01611201721a016e
    0a01691201621a0c0a016e1201741a01732201622201742a01733201673a016440084809500a5a0171600c680d700e
    08011002180321040000000000000028053006
    0801
    08011002
    08011102000000000000001803221308011002180321040000000000000028053006
    080112016d1803
    0801120e0a01671002190300000000000000
    0a017312016418032001280530063807420166
    ");
}

#[test]
fn keys_keep_their_bytes() {
    let (a, t) = ("a".to_owned(), Time::from_ms(2));
    let name = (a.clone(), "r".to_owned(), "n".to_owned());
    insta::assert_snapshot!([
        QUEUES.key(&name),
        QUEUE_IDS.key(&(1u64,)),
        DLQ_SOURCES.key(&(a.clone(), a.clone(), a.clone(), a.clone())),
        MESSAGES.key(&(1u64, t, 3u64)),
        STATES.key(&(1u64, t, 3u64)),
        VISIBLE.key(&(1u64, t, t, 3u64)),
        TAILS.key(&(1u64, a.clone())),
        HEADS.key(&(1u64, a.clone())),
        TURNS.key(&(1u64, t, 3u64, a.clone())),
        LINES.key(&(1u64, a.clone(), 3u64)),
        COUNTS.key(&(1u64, 2u8, 3u64)),
        SEEN.key(&(1u64, a.clone(), a.clone())),
        ATTEMPTS.key(&(1u64, a.clone())),
        FORGET.key(&(t, 1u64, 0u8, a.clone(), a.clone())),
        SWEEPS.key(&(1u64,)),
        MOVES.key(&(1u64, t, a)),
    ]
    .map(hex::encode)
    .join("\n"), @r"
    00786100007200006e0000
    00790000000000000001
    007a610000610000610000610000
    007b000000000000000100000000000000020000000000000003
    007c000000000000000100000000000000020000000000000003
    007d0000000000000001000000000000000200000000000000020000000000000003
    007e0000000000000001610000
    007f0000000000000001610000
    0080000000000000000100000000000000020000000000000003610000
    008100000000000000016100000000000000000003
    00820000000000000001020000000000000003
    00830000000000000001610000610000
    00840000000000000001610000
    00850000000000000002000000000000000100610000610000
    00860000000000000001
    008700000000000000010000000000000002610000
    ");
}
