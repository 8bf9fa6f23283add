//! Keys as types, scans in both directions, and blobs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use futures_util::TryStreamExt;
use mayfly_kernel::Time;
use mayfly_store::{Blobs, Desc, Durability, Error, KeyTuple, Map, Raw, Scan, Space, Store};
use proptest::prelude::*;

type Everything = (String, Vec<u8>, u16, i64, bool, Desc<String>);

fn bytes<K: KeyTuple>(key: &K) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.write_key(&mut bytes);
    bytes
}

fn everything() -> impl Strategy<Value = Everything> {
    let text = || "[\\x00\\x01a-c\u{7f}\u{ff}]{0,4}";
    let raw = prop::collection::vec(prop::sample::select(vec![0, 1, 0xFE, 0xFF]), 0..4);
    (text(), raw, any::<u16>(), any::<i64>(), any::<bool>(), text().prop_map(Desc))
}

proptest! {
    #[test]
    fn encoded_keys_sort_as_their_values_do(a in everything(), b in everything()) {
        prop_assert_eq!(bytes(&a).cmp(&bytes(&b)), a.cmp(&b));
        let mut rest = &bytes(&a)[..];
        prop_assert_eq!(Everything::read_key(&mut rest).unwrap(), a);
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn arbitrary_bytes_are_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = Everything::read_key(&mut &bytes[..]);
    }
}

#[test]
fn keys_have_these_bytes_for_ever() {
    let key = ("a\0b".to_owned(), 7_u8, -2_i64, true, Time::from_ms(258), Desc(1_u16));
    let hex: String = bytes(&key).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, concat!("6100ff620000", "07", "7ffffffffffffffe", "01", "0000000000000102", "fffe"));
    let map: Map<(String, u64), ()> = Map::new(Space(0x0102));
    assert_eq!(map.key(&("q", 3_u64)), [1, 2, b'q', 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
}

const DUE: Map<(String, Time, u64), Raw> = Map::new(Space(9));

#[test]
fn scans_page_in_both_directions_and_stay_in_their_prefix() {
    let store = Store::memory();
    let mut tx = store.begin();
    for queue in ["a", "aa", "b"] {
        for n in 0..5 {
            DUE.put(&mut tx, &(queue, Time::from_ms(n * 10), n), &Raw(Bytes::from(format!("{queue}{n}"))));
        }
    }
    tx.commit(Durability::Durable).wait().unwrap();
    let tx = store.view();
    let read =
        |scan| -> Vec<u64> { DUE.scan(&tx, scan).unwrap().into_iter().map(|((_, _, n), _)| n).collect() };
    let of_a = |limit| Scan::prefix(&("a",), limit);
    assert_eq!(read(of_a(9)), [0, 1, 2, 3, 4]);
    assert_eq!(read(of_a(9).through(&("a", Time::from_ms(20)))), [0, 1, 2]);
    assert_eq!(read(of_a(9).until(&("a", Time::from_ms(20)))), [0, 1]);
    assert_eq!(read(of_a(2).after(&("a", Time::from_ms(10), 1_u64))), [2, 3]);
    assert_eq!(read(of_a(2).from(&("a", Time::from_ms(10)))), [1, 2]);
    assert_eq!(read(of_a(9).reverse().after(&("a", Time::from_ms(30), 3_u64))), [2, 1, 0]);
    assert_eq!(
        read(of_a(9).reverse().from(&("a", Time::from_ms(30))).until(&("a", Time::from_ms(10)))),
        [3, 2]
    );
    assert_eq!(read(Scan::all(99)).len(), 15);
    assert_eq!(DUE.get(&tx, &("b", Time::from_ms(20), 2_u64)).unwrap(), Some(Raw(Bytes::from("b2"))));
    assert!(!DUE.contains(&tx, &("b", Time::from_ms(20), 3_u64)).unwrap());
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

fn files(dir: &std::path::Path) -> usize {
    std::fs::read_dir(dir.join("tmp")).unwrap().count()
}

#[test]
fn a_blob_appears_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::local(dir.path()).unwrap();
    run(async {
        let piece = Bytes::from(vec![7; 300_000]);
        let mut writer = blobs.create("object-1").await;
        for _ in 0..5 {
            writer.write(piece.clone()).await.unwrap();
        }
        assert_eq!(blobs.path("object-1"), None);
        assert_eq!(writer.finish().await.unwrap(), 1_500_000);
        assert_eq!(blobs.read_all("object-1").await.unwrap().len(), 1_500_000);
        let read: Vec<Bytes> =
            blobs.read("object-1", 1_499_990..9_999_999).await.unwrap().try_collect().await.unwrap();
        assert_eq!(read.concat(), [7; 10]);
        let read: Vec<Bytes> = blobs.read("object-1", 5..600_005).await.unwrap().try_collect().await.unwrap();
        assert_eq!(read.concat().len(), 600_000);
        assert_eq!(blobs.list_older_than(0, Time::MAX).await.unwrap().len(), listed(&blobs, 0).await);
        blobs.delete("object-1").await.unwrap();
        blobs.delete("object-1").await.unwrap();
        assert_eq!(blobs.read_all("object-1").await, Err(Error::NoBlob("object-1".into())));
    });
    assert_eq!(files(dir.path()), 0);
}

async fn listed(blobs: &Blobs, shard: u8) -> usize {
    let mut all = 0;
    for shard in 0..=u8::MAX {
        all += blobs.list_older_than(shard, Time::MAX).await.unwrap().len();
        assert!(blobs.list_older_than(shard, Time::EPOCH).await.unwrap().is_empty());
    }
    assert_eq!(all, 1);
    blobs.list_older_than(shard, Time::MAX).await.unwrap().len()
}

#[test]
fn a_dropped_writer_leaves_nothing_and_bad_ids_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::local(dir.path()).unwrap();
    run(async {
        let mut writer = blobs.create("object-2").await;
        writer.write(Bytes::from(vec![1; 2_000_000])).await.unwrap();
        drop(writer);
        for id in ["short", "Upper-case", "../../etc/passwd", "with/slash", &"x".repeat(97)] {
            let refused = blobs.create(id).await.finish().await;
            assert_eq!(refused, Err(Error::BadBlobId(id.to_owned())));
        }
    });
    // The runtime has ended, and with it the write that was under way.
    assert_eq!(files(dir.path()), 0);
    std::fs::write(dir.path().join("tmp").join("left-behind.0"), "x").unwrap();
    Blobs::local(dir.path()).unwrap();
    assert_eq!(files(dir.path()), 0);
}
