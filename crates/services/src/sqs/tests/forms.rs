//! The query protocol, as SDKs spoke it before JSON.

use super::*;

fn form(bench: &Bench, path: &str, operation: &str, form: &str) -> String {
    bench
        .form("sqs", path, operation, form)
        .unwrap_or_else(|fault| panic!("{operation}: {fault}"))
        .text()
        .to_owned()
}

#[test]
fn older_clients_write_forms_and_read_xml() {
    let bench = Bench::seed(1);
    let made = form(
        &bench,
        "/",
        "CreateQueue",
        "QueueName=old&Attribute.1.Name=VisibilityTimeout&Attribute.1.Value=7&Tag.1.Key=k&Tag.1.Value=v",
    );
    assert!(
        made.contains("<CreateQueueResult><QueueUrl>http://127.0.0.1:4566/000000000000/old</QueueUrl>"),
        "{made}"
    );
    let path = "/000000000000/old";
    let sent = form(
        &bench,
        path,
        "SendMessage",
        "MessageBody=hi+there&MessageAttribute.1.Name=n&MessageAttribute.1.Value.DataType=Number\
         &MessageAttribute.1.Value.StringValue=3",
    );
    assert!(sent.contains("<MD5OfMessageBody>") && sent.contains("<MD5OfMessageAttributes>"), "{sent}");
    let batch = form(
        &bench,
        path,
        "SendMessageBatch",
        "SendMessageBatchRequestEntry.1.Id=a&SendMessageBatchRequestEntry.1.MessageBody=1\
         &SendMessageBatchRequestEntry.2.Id=b&SendMessageBatchRequestEntry.2.MessageBody=2\
         &SendMessageBatchRequestEntry.2.DelaySeconds=901",
    );
    assert!(batch.contains("<SendMessageBatchResultEntry><Id>a</Id>"), "{batch}");
    assert!(batch.contains("<BatchResultErrorEntry><Id>b</Id>"), "{batch}");
    let got = form(
        &bench,
        path,
        "ReceiveMessage",
        "MaxNumberOfMessages=10&AttributeName.1=SentTimestamp&MessageAttributeName.1=All",
    );
    let wanted = "<Attribute><Name>SentTimestamp</Name><Value>1767225600000</Value></Attribute>";
    assert!(got.contains("<Body>hi there</Body>") && got.contains(wanted), "{got}");
    assert!(got.contains("<MessageAttribute><Name>n</Name><Value>"), "{got}");
    let shown = form(&bench, path, "GetQueueAttributes", "AttributeName.1=VisibilityTimeout");
    assert!(
        shown.contains("<Attribute><Name>VisibilityTimeout</Name><Value>7</Value></Attribute>"),
        "{shown}"
    );
    let tags = form(&bench, path, "ListQueueTags", "");
    assert!(tags.contains("<Tag><Key>k</Key><Value>v</Value></Tag>"), "{tags}");
    let listed = form(&bench, "/", "ListQueues", "");
    assert!(listed.contains("<ListQueuesResult><QueueUrl>"), "{listed}");
    let purged = form(&bench, path, "PurgeQueue", "");
    assert!(purged.contains("<PurgeQueueResponse") && !purged.contains("PurgeQueueResult"), "{purged}");
}
