//! The members' names in the query protocol, as the API reference of 2012-11-05 has them.

use mayfly_wire::Dialect;

pub(super) static NAMES: Dialect = Dialect {
    lists: &[
        ("AttributeNames", "AttributeName"),
        ("MessageAttributeNames", "MessageAttributeName"),
        ("MessageSystemAttributeNames", "MessageSystemAttributeName"),
        ("AWSAccountIds", "AWSAccountId"),
        ("Actions", "ActionName"),
        ("TagKeys", "TagKey"),
        ("Entries", "SendMessageBatchRequestEntry"),
        ("Entries", "DeleteMessageBatchRequestEntry"),
        ("Entries", "ChangeMessageVisibilityBatchRequestEntry"),
        ("Failed", "BatchResultErrorEntry"),
        ("Messages", "Message"),
        ("QueueUrls", "QueueUrl"),
        ("queueUrls", "QueueUrl"),
    ],
    results: &[("Successful", "ResultEntry"), ("Results", "ResultEntry")],
    maps: &[
        ("Attributes", "Attribute", ["Name", "Value"]),
        ("MessageAttributes", "MessageAttribute", ["Name", "Value"]),
        ("MessageSystemAttributes", "MessageSystemAttribute", ["Name", "Value"]),
        ("Tags", "Tag", ["Key", "Value"]),
    ],
    url_member: "QueueUrl",
};
