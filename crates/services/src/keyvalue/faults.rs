//! What guests are told. There is no API of AWS behind it, so the words are ours.

use mayfly_kernel::Fault;

fn refused(text: String) -> Fault {
    Fault::new(400, "ValidationException", text)
}

pub(super) fn bad_bucket() -> Fault {
    refused("a bucket's name has 1 to 255 bytes".into())
}

pub(super) fn bad_key(limit: usize) -> Fault {
    refused(format!("a key has 1 to {limit} bytes"))
}

pub(super) fn too_many_keys(limit: usize) -> Fault {
    refused(format!("a batch has up to {limit} keys"))
}

pub(super) fn value_too_large(limit: u64) -> Fault {
    refused(format!("the value is larger than the limit keyvalue_value_bytes of {limit} bytes"))
}

pub(super) fn batch_too_large(limit: u64) -> Fault {
    refused(format!("the values are larger than the limit keyvalue_batch_bytes of {limit} bytes"))
}

pub(super) fn no_number(key: &str) -> Fault {
    refused(format!("the value of {key} is no number in decimal digits"))
}

pub(super) fn out_of_range(key: &str) -> Fault {
    refused(format!("the value of {key} would be out of range"))
}
