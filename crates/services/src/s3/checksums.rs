//! Which checksum an upload has, and whether it is the one that the client computed.
//!
//! The binary computes all of them while a body streams by, so that the choice can be made here, in the
//! transaction. A checksum sent in a trailer has become a header by then.

use super::faults;
use super::model::Checksum;
use mayfly_kernel::Fault;
use mayfly_wire::Call;
use mayfly_wire::checksum::{Algorithm, Digests};

/// What S3 computes if a client asks for nothing.
pub(super) const DEFAULT: Algorithm = Algorithm::Crc64Nvme;
const PREFIX: &str = "x-amz-checksum-";
/// Headers that begin so and are no checksum.
const OTHERS: [&str; 3] = ["algorithm", "mode", "type"];

/// The checksum headers of a call: at most one.
pub(super) fn claimed(call: &Call) -> Result<Option<(Algorithm, String)>, Fault> {
    let mut sent = call.headers_with_prefix(PREFIX);
    sent.retain(|(name, _)| !OTHERS.contains(&name.as_str()));
    let Some((name, value)) = sent.pop() else { return Ok(None) };
    if !sent.is_empty() {
        return Err(faults::invalid_request(
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
        ));
    }
    let header = format!("{PREFIX}{name}");
    let Some(algorithm) = Algorithm::of_header(&header) else {
        return Err(Fault::not_implemented(&format!("the checksum header {header}")));
    };
    // A composite checksum, as completions of uploads send it, has a count behind it.
    let digest = value.split_once('-').map_or(value.as_str(), |(digest, _)| digest);
    if algorithm.decode(digest).is_none() {
        return Err(faults::invalid_checksum_header(&header));
    }
    Ok(Some((algorithm, value)))
}

/// The algorithm that a call names, in whichever way.
pub(super) fn requested(call: &Call) -> Result<Option<Algorithm>, Fault> {
    if let Some((algorithm, _)) = claimed(call)? {
        return Ok(Some(algorithm));
    }
    let trailer = call.header("x-amz-trailer").unwrap_or_default();
    if let Some(algorithm) = trailer.split(',').find_map(|name| Algorithm::of_header(name.trim())) {
        return Ok(Some(algorithm));
    }
    let name =
        call.header("x-amz-checksum-algorithm").or_else(|| call.header("x-amz-sdk-checksum-algorithm"));
    let Some(name) = name else { return Ok(None) };
    match Algorithm::parse(name) {
        Some(algorithm) if algorithm != Algorithm::Md5 => Ok(Some(algorithm)),
        _ => Err(faults::invalid_request(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: \
             [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
        )),
    }
}

/// Checks all that the client says about the bytes it sent.
pub(super) fn verify(call: &Call, digests: &Digests) -> Result<(), Fault> {
    if let Some(sent) = call.header("content-md5") {
        let expected = Algorithm::Md5.decode(sent).ok_or_else(|| faults::invalid_digest(sent))?;
        let calculated = digests.base64(Algorithm::Md5).unwrap_or_default();
        if digests.get(Algorithm::Md5) != Some(&expected[..]) {
            return Err(faults::bad_md5(sent, &calculated));
        }
    }
    match claimed(call)? {
        Some((algorithm, value)) if digests.base64(algorithm).as_deref() != Some(&value) => {
            Err(faults::bad_checksum(algorithm.name()))
        }
        Some(_) | None => Ok(()),
    }
}

/// What is knowable before the body has come.
pub(super) fn precheck(call: &Call) -> Result<(), Fault> {
    if let Some(sent) = call.header("content-md5")
        && Algorithm::Md5.decode(sent).is_none()
    {
        return Err(faults::invalid_digest(sent));
    }
    requested(call).map(|_| ())
}

/// The checksum of a body by this algorithm.
pub(super) fn of(digests: &Digests, algorithm: Algorithm) -> Result<Checksum, Fault> {
    let value = digests.base64(algorithm);
    let value = value.ok_or_else(|| Fault::internal("checksum a body", "its digest was not computed"))?;
    Ok(Checksum::full(algorithm, value))
}
