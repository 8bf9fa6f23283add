//! XML documents.

use mayfly_wire::xml;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Listing {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    max_keys: u32,
    is_truncated: bool,
    contents: Vec<Object>,
    grantee: Option<Grantee>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Object {
    key: String,
    size: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Grantee {
    #[serde(rename = "@type")]
    kind: String,
    #[serde(rename = "ID")]
    id: String,
}

fn listing() -> Listing {
    let object = |key: &str, size| Object { key: key.to_owned(), size };
    Listing {
        name: "photos".into(),
        prefix: None,
        max_keys: 2,
        is_truncated: true,
        contents: vec![object("a\u{1}\r<b>", 1), object(" é ", 2)],
        grantee: Some(Grantee { kind: "CanonicalUser".into(), id: "0".into() }),
    }
}

#[test]
fn a_document_is_written() {
    insta::assert_snapshot!(xml::to_string("ListBucketResult", Some("http://s3.amazonaws.com/doc/2006-03-01/"), &listing()).unwrap(), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>photos</Name><MaxKeys>2</MaxKeys><IsTruncated>true</IsTruncated><Contents><Key>a&#x1;&#xd;&lt;b&gt;</Key><Size>1</Size></Contents><Contents><Key> é </Key><Size>2</Size></Contents><Grantee type="CanonicalUser"><ID>0</ID></Grantee></ListBucketResult>
    "#);
}

#[test]
fn documents_of_clients_are_read() {
    let read: Listing = xml::from_bytes(
        br#"<?xml version="1.0" encoding="UTF-8"?>
        <!-- a comment --><s3:Listing xmlns:s3="http://s3.amazonaws.com/doc/2006-03-01/">
          <Contents><Key>a&amp;b</Key><Size>1</Size></Contents>
          <Name><![CDATA[<photos>]]></Name>
          <Contents><Key>&#x41; </Key><Size> 2 </Size><Owner/></Contents>
          <IsTruncated>false</IsTruncated>
          <Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group"><ID>1</ID></Grantee>
        </s3:Listing>"#,
    )
    .unwrap();
    assert_eq!(read.name, "<photos>");
    let objects: Vec<_> = read.contents.iter().map(|object| (object.key.as_str(), object.size)).collect();
    assert_eq!(objects, [("a&b", 1), ("A ", 2)]);
    assert_eq!(read.grantee.unwrap().kind, "Group");
    assert_eq!(xml::from_bytes::<Listing>(b"<Listing/>").unwrap(), Listing::default());
}

#[test]
fn flawed_documents_are_malformed() {
    let deep = "<a>".repeat(40) + &"</a>".repeat(40);
    let large = format!("<Listing><Name>{}</Name></Listing>", "a".repeat(xml::BYTES_MAX));
    let flawed = [
        "",
        "hello",
        "<Listing>",
        "<Listing></Other>",
        "<Listing/><Listing/>",
        "<Listing/>tail",
        "<Listing><Name>&unknown;</Name></Listing>",
        "<Listing><Name>&#x110000;</Name></Listing>",
        "<!DOCTYPE a [<!ENTITY b \"c\">]><Listing><Name>&b;</Name></Listing>",
        "<!DOCTYPE Listing SYSTEM \"http://127.0.0.1/\"><Listing/>",
        "<Listing><MaxKeys>many</MaxKeys></Listing>",
        "<Listing><Contents><Key>k</Key></Contents></Listing>",
        deep.as_str(),
        large.as_str(),
    ];
    for document in flawed {
        let fault =
            xml::from_bytes::<Listing>(document.as_bytes()).expect_err(&document[..document.len().min(60)]);
        assert_eq!((fault.code.as_ref(), fault.status), ("MalformedXML", 400));
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(name in "[ -~\n\u{a0}-\u{d7ff}]*", keys in prop::collection::vec(("[ -~\t\r\n]{0,9}", 0u64..9), 0..4)) {
        let contents = keys.into_iter().map(|(key, size)| Object { key, size }).collect();
        let listing = Listing { name, contents, ..Listing::default() };
        let text = xml::to_string("Listing", None, &listing).unwrap();
        prop_assert_eq!(xml::from_bytes::<Listing>(text.as_bytes()).unwrap(), listing);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, markup in "[<>/a&;!?\"'= \\[\\]-]{0,40}") {
        let _ = xml::from_bytes::<Listing>(&bytes);
        let _ = xml::from_bytes::<Listing>(markup.as_bytes());
    }
}
