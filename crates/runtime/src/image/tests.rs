//! Layers as builders write them, and as nobody should.

use super::tar::tests::entry;
use super::{ImageError, Images};
use mayfly_kernel::Limits;
use mayfly_kernel::function::{Image, ImageLayer};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

struct World {
    dir: tempfile::TempDir,
    images: Images,
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl World {
    fn new(limits: Limits) -> World {
        let dir = tempfile::tempdir().unwrap();
        let images = Images::new(&dir.path().join("images"), limits).unwrap();
        World { dir, images }
    }

    fn archive(&self, digest: &str) -> PathBuf {
        self.dir.path().join(digest)
    }

    /// A layer of these entries, compressed.
    fn layer(&self, entries: &[Vec<u8>]) -> ImageLayer {
        self.packed(entries, |plain| {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packed.write_all(plain).unwrap();
            packed.finish().unwrap()
        })
    }

    fn packed(&self, entries: &[Vec<u8>], pack: impl FnOnce(&[u8]) -> Vec<u8>) -> ImageLayer {
        let plain = [entries.concat(), vec![0; 1024]].concat();
        let packed = pack(&plain);
        let digest = hex(&packed);
        fs::write(self.archive(&digest), &packed).unwrap();
        ImageLayer { digest, diff_id: hex(&plain), size: packed.len() as u64 }
    }

    fn image(layers: &[ImageLayer]) -> Image {
        Image {
            layers: layers.to_vec(),
            command: vec!["/app".into()],
            environment: BTreeMap::new(),
            working_directory: "/".into(),
            origin: None,
        }
    }

    fn root(&self, layers: &[ImageLayer]) -> Result<PathBuf, ImageError> {
        let root = self.images.root(&World::image(layers), |digest| Ok(self.archive(digest)))?;
        Ok(root.path())
    }

    fn refused(&self, entries: &[Vec<u8>]) -> ImageError {
        self.root(&[self.layer(entries)]).unwrap_err()
    }
}

fn file(path: &str, text: &str) -> Vec<u8> {
    entry(b'0', path, "", text.as_bytes())
}

fn folder(path: &str) -> Vec<u8> {
    entry(b'5', path, "", b"")
}

fn link(path: &str, target: &str) -> Vec<u8> {
    entry(b'2', path, target, b"")
}

#[test]
fn layers_are_laid_over_each_other_and_kept_once() {
    let world = World::new(Limits::default());
    let base = world.layer(&[
        file("./etc/motd", "base"),
        file("lib/old/a", "a"),
        file("lib/old/b", "b"),
        file("bin/tool", "tool"),
        file("gone", "gone"),
        link("usr", "/elsewhere"),
        entry(b'1', "bin/same", "bin/tool", b""),
    ]);
    let upper = world.layer(&[
        file("etc/motd", "upper"),
        file(".wh.gone", ""),
        folder("lib/old"),
        file("lib/old/.wh..wh..opq", ""),
        file("lib/old/c", "c"),
        folder("usr"),
        file("usr/x", "x"),
        file("bin/tool/inside", "a folder now"),
    ]);
    let root = world.root(&[base.clone(), upper]).unwrap();
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    assert_eq!(read("etc/motd").as_deref(), Some("upper"));
    assert_eq!((read("gone"), read("lib/old/a")), (None, None));
    assert_eq!((read("lib/old/c").as_deref(), read("usr/x").as_deref()), (Some("c"), Some("x")));
    assert_eq!(read("bin/tool/inside").as_deref(), Some("a folder now"));
    assert_eq!(read("bin/same").as_deref(), Some("tool"));
    assert_eq!(read("etc/hosts").as_deref(), Some("127.0.0.1 localhost\n"));
    assert!(["proc", "dev", "tmp"].iter().all(|place| root.join(place).is_dir()));

    let alone = world.root(&[base]).unwrap();
    assert_eq!(fs::read_to_string(alone.join("etc/motd")).unwrap(), "base");
    let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
    assert_eq!(inode(alone.join("bin/same")), inode(root.join("bin/same")));
    assert_eq!(fs::metadata(alone.join("bin/tool")).unwrap().permissions().mode() & 0o7777, 0o555);
}

#[test]
fn a_whiteout_never_leads_through_a_link() {
    let world = World::new(Limits::default());
    let victim = world.dir.path().join("victim");
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("file"), "kept").unwrap();
    let below = world.layer(&[link("out", victim.to_str().unwrap()), link("deep", "out")]);
    let above = world.layer(&[file("out/.wh.file", ""), file("deep/.wh..wh..opq", ""), file("x", "x")]);
    let root = world.root(&[below, above]).unwrap();
    assert_eq!(fs::read_to_string(victim.join("file")).unwrap(), "kept");
    assert!(root.join("x").exists());
}

#[test]
fn hostile_layers_are_refused() {
    let limits =
        Limits { image_unpacked_bytes: 1 << 20, image_files: 20, image_layers: 3, ..Limits::default() };
    let world = World::new(limits);
    for path in ["../evil", "a/../../evil", "a/../b", ".wh...", "a/.wh.."] {
        let refused = world.refused(&[file(path, "x")]);
        assert!(matches!(refused, ImageError::LeavesFolder { .. }), "{path}: {refused}");
    }
    let through = [link("a", "/etc"), file("a/passwd", "x")];
    assert!(matches!(world.refused(&through), ImageError::ThroughLink { .. }));
    let deep = [link("a", "."), link("a/b", "/"), file("a/b/etc/x", "x")];
    assert!(matches!(world.refused(&deep), ImageError::ThroughLink { .. }));
    for target in ["/etc/passwd", "missing", "a"] {
        let hard = [folder("a"), entry(b'1', "h", target, b"")];
        assert!(matches!(world.refused(&hard), ImageError::HardLink { .. }), "{target}");
    }
    let around = [link("a", "/etc"), entry(b'1', "h", "a/passwd", b"")];
    assert!(matches!(world.refused(&around), ImageError::HardLink { .. }));
    let upward = [entry(b'1', "h", "../../etc/passwd", b"")];
    assert!(matches!(world.refused(&upward), ImageError::LeavesFolder { .. }));
    for kind in *b"346" {
        assert!(matches!(world.refused(&[entry(kind, "disk", "", b"")]), ImageError::Device { .. }));
    }
    world.root(&[world.layer(&[entry(b'3', "dev/sda", "", b""), file("ok", "")])]).unwrap();
    let big = vec![0; 600_000];
    let bomb = [entry(b'0', "a", "", &big), entry(b'0', "b", "", &big)];
    assert!(matches!(world.refused(&bomb), ImageError::TooLarge { .. }));
    let halves = [world.layer(&bomb[..1]), world.layer(&bomb[1..])];
    assert!(matches!(world.root(&halves).unwrap_err(), ImageError::TooLarge { .. }));
    let many: Vec<_> = (0..21).map(|number| file(&number.to_string(), "")).collect();
    assert!(matches!(world.refused(&many), ImageError::TooManyFiles { .. }));
    let one = world.layer(&[file("a", "a")]);
    let tall = vec![one.clone(); 4];
    assert!(matches!(world.root(&tall).unwrap_err(), ImageError::TooManyLayers { .. }));
    let other = ImageLayer { diff_id: hex(b"other"), ..world.layer(&[file("b", "b")]) };
    assert!(matches!(world.root(&[other]).unwrap_err(), ImageError::NotItself { .. }));
    // Nothing is left of any of them, inside or outside.
    let left = fs::read_dir(world.dir.path().join("images/roots")).unwrap().count();
    assert_eq!(left, 1);
    assert!(!world.dir.path().join("evil").exists());
}

#[test]
fn the_last_of_a_name_holds_and_never_writes_into_another() {
    let world = World::new(Limits::default());
    let layer = world.layer(&[
        file("a", "first"),
        entry(b'1', "b", "a", b""),
        file("a", "second"),
        link("c", "b"),
        file("c", "third"),
    ]);
    let root = world.root(&[layer]).unwrap();
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    assert_eq!((read("a"), read("b"), read("c")), ("second".into(), "first".into(), "third".into()));
}

#[test]
fn a_forgotten_image_goes_when_nobody_stands_on_it() {
    let world = World::new(Limits::default());
    let (base, upper) = (world.layer(&[file("a", "a")]), world.layer(&[file("b", "b")]));
    let locate = |digest: &str| Ok(world.archive(digest));
    let used = world.images.root(&World::image(&[base.clone(), upper.clone()]), locate).unwrap();
    let idle = world.root(std::slice::from_ref(&base)).unwrap();
    let alone = world.root(std::slice::from_ref(&upper)).unwrap();
    world.images.forget(&base.digest).unwrap();
    assert!(!idle.exists() && alone.join("b").exists());
    let trees = || fs::read_dir(world.dir.path().join("images/roots")).unwrap().count();
    assert_eq!(trees(), 2, "one in use, out of the way");
    let again = world.images.root(&World::image(&[base, upper]), locate).unwrap();
    drop(used);
    // In the background, on a disk that may be slow.
    for _ in 0..12_000 {
        if trees() == 2 && again.path().join("a").exists() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the tree is still there");
}

#[test]
fn zstd_is_held_to_what_gzip_is_held_to() {
    let world = World::new(Limits { image_unpacked_bytes: 1_000_000, image_files: 20, ..Limits::default() });
    let zstd = |plain: &[u8]| zstd::encode_all(plain, 3).unwrap();
    let with_aside = |plain: &[u8]| {
        let halves = plain.split_at(700);
        // What a builder says of its frames, two frames, and the same again.
        let aside = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        [aside.clone(), zstd(halves.0), zstd(halves.1), aside].concat()
    };
    let lower = world.packed(&[file("a", "lower"), file("b", "b")], zstd);
    let upper = world.packed(&[file("a", "upper"), file(".wh.b", "")], with_aside);
    let root = world.root(&[lower, upper]).unwrap();
    assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "upper");
    assert!(!root.join("b").exists());

    let refused = |layer: ImageLayer| world.root(&[layer]).unwrap_err();
    let big = entry(b'0', "a", "", &vec![0; 1_100_000]);
    assert!(matches!(refused(world.packed(&[big], zstd)), ImageError::TooLarge { .. }));
    let endless = [file("a", "a"), vec![0; 2_000_000]];
    assert!(refused(world.packed(&endless, zstd)).to_string().contains("inflates past every limit"));
    let cut = |plain: &[u8]| zstd(plain)[..60].to_vec();
    assert!(matches!(refused(world.packed(&[file("a", &"x".repeat(500))], cut)), ImageError::Io(_)));
    // An empty frame that wants 256 MiB to refer back to.
    let hungry = |_: &[u8]| vec![0x28, 0xb5, 0x2f, 0xfd, 0, 18 << 3, 1, 0, 0];
    assert!(refused(world.packed(&[], hungry)).to_string().contains("too much memory"));
}
