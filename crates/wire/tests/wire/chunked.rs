//! Bodies in chunks.

use crate::vectors::load;
use bytes::Bytes;
use mayfly_wire::sigv4::{ChunkDecoder, ChunkError, Seed};
use proptest::prelude::*;

const PLAIN: [&str; 3] = [
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
];
const WITH_TRAILER: [&str; 3] = [
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
];
const TRAILERS: &str = "x-amz-checksum-crc32c:sOO8/Q==\r\n\
     x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n";

/// The body of the S3 documentation's examples: 65 KiB of `a` in two chunks.
fn documented(signatures: [&str; 3], trailers: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (size, signature) in [65536, 1024, 0].into_iter().zip(signatures) {
        body.extend(format!("{size:x};chunk-signature={signature}\r\n").bytes());
        body.extend(std::iter::repeat_n(b'a', size));
        body.extend(if size > 0 { b"\r\n".as_slice() } else { trailers.as_bytes() });
    }
    body.extend(b"\r\n");
    body
}

fn seed(name: &str) -> Seed {
    load(name).verify().unwrap()
}

/// The data and the trailers.
type Decoded = (Vec<u8>, Vec<(String, String)>);

/// Decodes a body that arrives in pieces of the given sizes, again and again.
fn decode(mut decoder: ChunkDecoder, body: &[u8], sizes: &[usize]) -> Result<Decoded, ChunkError> {
    let mut data = Vec::new();
    let mut rest = Bytes::copy_from_slice(body);
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let piece = rest.split_to((*size).clamp(1, rest.len()));
        decoder.push(piece)?.iter().for_each(|part| data.extend_from_slice(part));
    }
    Ok((data, decoder.finish()?))
}

#[test]
fn the_documented_bodies_are_verified() {
    let plain = documented(PLAIN, "");
    assert_eq!(plain.len(), 66824);
    let decoder = ChunkDecoder::new(Some(seed("s3/put-chunked.http")), false, Some(66560));
    assert_eq!(decode(decoder, &plain, &[usize::MAX]), Ok((vec![b'a'; 66560], Vec::new())));

    let trailer = vec![("x-amz-checksum-crc32c".to_owned(), "sOO8/Q==".to_owned())];
    // The documentation itself shows the trailer with an empty line before its signature.
    for trailers in [TRAILERS.to_owned(), TRAILERS.replace("==\r\n", "==\n\r\n")] {
        let decoder = ChunkDecoder::new(Some(seed("s3/put-chunked-trailer.http")), true, Some(66560));
        let body = documented(WITH_TRAILER, &trailers);
        assert_eq!(decode(decoder, &body, &[1000]), Ok((vec![b'a'; 66560], trailer.clone())));
    }
}

#[test]
fn an_unsigned_body_has_its_trailer() {
    let request = load("botocore/s3-put-trailer.http");
    request.verify().unwrap();
    let (data, trailers) = decode(ChunkDecoder::new(None, true, Some(5000)), &request.body, &[7]).unwrap();
    assert_eq!(data, b"hello".repeat(1000));
    assert_eq!(trailers.len(), 1);
    let digests = {
        let mut sums = mayfly_wire::checksum::Checksums::new(&[mayfly_wire::checksum::Algorithm::Crc32]);
        sums.update(&data);
        sums.finish()
    };
    let sum = digests.base64(mayfly_wire::checksum::Algorithm::Crc32).unwrap();
    assert_eq!(trailers[0], ("x-amz-checksum-crc32".to_owned(), sum));
}

#[test]
fn what_is_not_aws_chunked_is_refused() {
    let read = |body: &str, declared| {
        let decoder = ChunkDecoder::new(None, true, declared);
        decode(decoder, body.as_bytes(), &[3]).unwrap_err().to_fault().code
    };
    assert_eq!(read("hello", None), "IncompleteBody");
    assert_eq!(read("hello\r\n", None), "InvalidRequest");
    assert_eq!(read("ffffffffffffffff\r\n", None), "InvalidRequest");
    assert_eq!(read("2\r\nabc\r\n0\r\n\r\n", None), "InvalidRequest");
    assert_eq!(read("2\r\nab\r\n0\r\n\r\nmore", None), "InvalidRequest");
    assert_eq!(read("2\r\nab\r\n0\r\n\r\n", Some(3)), "IncompleteBody");
    assert_eq!(read("2\r\nab\r\n0\r\n\r\n", Some(1)), "IncompleteBody");
    assert_eq!(read("2\r\nab\r\n0\r\n", None), "IncompleteBody");
    assert_eq!(read("2\r\nab\r\n0\r\nno colon\r\n\r\n", None), "MalformedTrailerError");
    assert_eq!(read(&"0".repeat(5000), None), "InvalidRequest");
    assert_eq!(read(&format!("0\r\n{}\r\n", "a:b\r\n".repeat(40)), None), "MalformedTrailerError");
}

#[test]
fn a_signed_body_cannot_do_without_a_signature() {
    let decoder = ChunkDecoder::new(Some(seed("s3/put-chunked.http")), false, None);
    assert_eq!(decode(decoder, b"0\r\n\r\n", &[9]), Err(ChunkError::Signature));
    let body = documented(WITH_TRAILER, "x-amz-checksum-crc32c:sOO8/Q==\r\n");
    let decoder = ChunkDecoder::new(Some(seed("s3/put-chunked-trailer.http")), true, None);
    assert_eq!(decode(decoder, &body, &[usize::MAX]), Err(ChunkError::Truncated));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn it_does_not_matter_how_a_body_is_split(sizes in prop::collection::vec(1usize..9000, 1..40)) {
        let decoder = ChunkDecoder::new(Some(seed("s3/put-chunked-trailer.http")), true, Some(66560));
        let body = documented(WITH_TRAILER, TRAILERS);
        let (data, trailers) = decode(decoder, &body, &sizes).unwrap();
        prop_assert_eq!(data, vec![b'a'; 66560]);
        prop_assert_eq!(trailers.len(), 1);
    }

    #[test]
    fn any_changed_byte_is_refused(place: prop::sample::Index, flip in 1u8..) {
        let mut body = documented(PLAIN, "");
        let place = place.index(body.len());
        body[place] ^= flip;
        let decoder = ChunkDecoder::new(Some(seed("s3/put-chunked.http")), false, Some(66560));
        prop_assert!(decode(decoder, &body, &[8192]).is_err());
    }

    #[test]
    fn any_truncation_is_refused(len: prop::sample::Index) {
        let body = documented(WITH_TRAILER, TRAILERS);
        let body = &body[..len.index(body.len())];
        let decoder = ChunkDecoder::new(Some(seed("s3/put-chunked-trailer.http")), true, Some(66560));
        prop_assert!(decode(decoder, body, &[8192]).is_err());
    }

    #[test]
    fn chunks_of_any_kind_are_put_together(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..9), size in 1usize..20) {
        let mut body = Vec::new();
        for chunk in &chunks {
            body.extend(format!("{:X}\r\n", chunk.len()).bytes());
            body.extend(chunk);
            body.extend(b"\r\n");
        }
        body.extend(b"0\r\nX-Amz-Checksum-Crc32: abc\r\n\r\n");
        let (data, trailers) = decode(ChunkDecoder::new(None, true, None), &body, &[size]).unwrap();
        prop_assert_eq!(data, chunks.concat());
        prop_assert_eq!(&trailers[0], &("x-amz-checksum-crc32".to_owned(), "abc".to_owned()));
    }

    #[test]
    fn no_bytes_make_it_panic(body: Vec<u8>, size in 1usize..9) {
        let _ = decode(ChunkDecoder::new(None, true, None), &body, &[size]);
    }
}
