//! What the plugin `pgoutput` says, version 1: tables as they are described, and changes of their rows.
//!
//! A change comes once its transaction is committed, between that one's beginning and its end.

use crate::mappings::external::body::Body;
use crate::mappings::external::line::Trouble;
use anyhow::{Context as _, bail};
use bytes::Bytes;
use mayfly_kernel::Time;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// From 2000 on, in microseconds: PostgreSQL's time.
const EPOCH_MS: u64 = 946_684_800_000;

#[derive(Debug)]
struct Column {
    name: String,
    kind: u32,
}

#[derive(Debug)]
struct Table {
    schema: String,
    name: String,
    columns: Vec<Column>,
}

/// The transaction whose changes are being read.
#[derive(Clone, Debug, Default)]
struct Transaction {
    end: u64,
    at: Option<Time>,
    xid: u32,
    changes: u64,
}

/// A change of a row or of a table.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) id: String,
    pub(super) at: Option<Time>,
    pub(super) shape: Value,
    pub(super) bytes: u64,
}

#[derive(Debug)]
pub(super) enum Told {
    /// Changes follow until the next commit.
    Begin,
    Change(Change),
    /// A transaction has ended; what comes next begins here.
    Commit {
        end: u64,
    },
    /// Something to be remembered, or of no interest.
    Nothing,
}

/// Understands messages, in their order.
#[derive(Debug, Default)]
pub(super) struct Reader {
    tables: HashMap<u32, Table>,
    /// Names of types that the server does not come with.
    kinds: HashMap<u32, String>,
    transaction: Transaction,
}

impl Reader {
    pub(super) fn read(&mut self, message: Bytes) -> Result<Told, Trouble> {
        let size = message.len() as u64;
        let mut body = Body(message);
        match body.u8()? {
            b'B' => {
                let (end, at, xid) = (body.u64()?, time(&mut body)?, body.u32()?);
                self.transaction = Transaction { end, at, xid, changes: 0 };
                Ok(Told::Begin)
            }
            b'C' => {
                body.u8()?;
                body.u64()?;
                Ok(Told::Commit { end: body.u64()? })
            }
            b'R' => self.table(&mut body),
            b'Y' => {
                let (kind, schema, name) = (body.u32()?, text(&mut body)?, text(&mut body)?);
                self.kinds.insert(kind, format!("{schema}.{name}"));
                Ok(Told::Nothing)
            }
            b'I' => {
                let table = body.u32()?;
                let new = self.row(table, &mut body)?;
                self.change("INSERT", table, None, Some(new), size)
            }
            b'U' => {
                let table = body.u32()?;
                let old = match body.0.first() {
                    Some(b'K' | b'O') => Some(self.row(table, &mut body)?),
                    _ => None,
                };
                let new = self.row(table, &mut body)?;
                self.change("UPDATE", table, old, Some(new), size)
            }
            b'D' => {
                let table = body.u32()?;
                let old = self.row(table, &mut body)?;
                self.change("DELETE", table, Some(old), None, size)
            }
            b'T' => {
                let count = body.u32()?;
                body.u8()?;
                // Each table is a change of its own at the server too, and one is enough to be told of all.
                let tables = (0..count).map(|_| body.u32()).collect::<Result<Vec<_>, _>>()?;
                let Some(first) = tables.first() else { return Ok(Told::Nothing) };
                let names: Vec<String> =
                    tables.iter().filter_map(|id| self.tables.get(id)).map(Table::full).collect();
                let mut told = self.change("TRUNCATE", *first, None, None, size)?;
                if let Told::Change(change) = &mut told {
                    change.shape["tables"] = json!(names);
                }
                Ok(told)
            }
            _ => Ok(Told::Nothing),
        }
    }

    fn table(&mut self, body: &mut Body) -> Result<Told, Trouble> {
        let (id, schema, name) = (body.u32()?, text(body)?, text(body)?);
        body.u8()?;
        let count = body.u16()?;
        let mut columns = Vec::with_capacity(count.into());
        for _ in 0..count {
            body.u8()?;
            let (name, kind) = (text(body)?, body.u32()?);
            body.u32()?;
            columns.push(Column { name, kind });
        }
        self.tables.insert(id, Table { schema, name, columns });
        Ok(Told::Nothing)
    }

    /// A row behind the letter that says which. A value that is kept elsewhere and was not changed is not
    /// sent.
    fn row(&self, table: u32, body: &mut Body) -> Result<Map<String, Value>, Trouble> {
        let which = body.u8()?;
        let table = self.tables.get(&table).context("a change of a table that was not described")?;
        let count = usize::from(body.u16()?);
        let mut row = Map::new();
        for column in table.columns.iter().take(count) {
            let value = match body.u8()? {
                // Of an old row that is its key alone, the other columns are not known.
                b'n' if which == b'K' => continue,
                b'n' => Value::Null,
                b'u' => continue,
                b't' => {
                    let length = body.u32()? as usize;
                    value(column.kind, &body.bytes(length)?)
                }
                other => bail!("a value of the kind {other}"),
            };
            row.insert(column.name.clone(), value);
        }
        Ok(row)
    }

    fn change(
        &mut self,
        operation: &str,
        table: u32,
        old: Option<Map<String, Value>>,
        new: Option<Map<String, Value>>,
        size: u64,
    ) -> Result<Told, Trouble> {
        let table = self.tables.get(&table).context("a change of a table that was not described")?;
        let types: Map<String, Value> =
            table.columns.iter().map(|one| (one.name.clone(), json!(self.kind(one.kind)))).collect();
        let Transaction { end, at, xid, changes } = self.transaction.clone();
        self.transaction.changes += 1;
        let lsn = format!("{:X}/{:X}", end >> 32, end & 0xFFFF_FFFF);
        let id = format!("{lsn}-{changes}");
        let shape = json!({
            "id": id,
            "time": at.map(mayfly_wire::time::iso8601),
            "operation": operation,
            "schema": table.schema,
            "table": table.name,
            "transaction": { "id": xid, "lsn": lsn, "number": changes },
            "new": new,
            "old": old,
            "types": types,
        });
        Ok(Told::Change(Change { id, at, shape, bytes: size * 2 + 512 }))
    }

    fn kind(&self, kind: u32) -> String {
        let known = KINDS.iter().find(|(number, _)| *number == kind).map(|(_, name)| (*name).to_owned());
        known.or_else(|| self.kinds.get(&kind).cloned()).unwrap_or_else(|| kind.to_string())
    }
}

impl Table {
    fn full(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

const BOOL: u32 = 16;
const INTEGERS: [u32; 4] = [20, 21, 23, 26];
const FLOATS: [u32; 2] = [700, 701];
const JSONS: [u32; 2] = [114, 3802];
/// The types that the server comes with and that columns mostly have.
const KINDS: [(u32, &str); 30] = [
    (BOOL, "bool"),
    (17, "bytea"),
    (18, "char"),
    (19, "name"),
    (20, "int8"),
    (21, "int2"),
    (23, "int4"),
    (25, "text"),
    (26, "oid"),
    (114, "json"),
    (142, "xml"),
    (600, "point"),
    (650, "cidr"),
    (700, "float4"),
    (701, "float8"),
    (790, "money"),
    (829, "macaddr"),
    (869, "inet"),
    (1007, "int4[]"),
    (1009, "text[]"),
    (1042, "bpchar"),
    (1043, "varchar"),
    (1082, "date"),
    (1083, "time"),
    (1114, "timestamp"),
    (1184, "timestamptz"),
    (1186, "interval"),
    (1700, "numeric"),
    (2950, "uuid"),
    (3802, "jsonb"),
];

/// Numbers, truth values and JSON as what they are; everything else as the text that PostgreSQL writes, so
/// that nothing is rounded.
fn value(kind: u32, text: &[u8]) -> Value {
    let text = String::from_utf8_lossy(text).into_owned();
    let read = match kind {
        BOOL => Some(json!(text == "t")),
        kind if INTEGERS.contains(&kind) => text.parse::<i64>().ok().map(Value::from),
        kind if FLOATS.contains(&kind) => text.parse::<f64>().ok().filter(|n| n.is_finite()).map(Value::from),
        kind if JSONS.contains(&kind) => serde_json::from_str(&text).ok(),
        _ => None,
    };
    read.unwrap_or(Value::String(text))
}

fn time(body: &mut Body) -> Result<Option<Time>, Trouble> {
    Ok(Some(Time::from_ms(EPOCH_MS + body.u64()? / 1000)))
}

/// Up to a zero.
fn text(body: &mut Body) -> Result<String, Trouble> {
    let end = body.0.iter().position(|byte| *byte == 0).context("a message of the slot is cut off")?;
    let text = body.bytes(end)?;
    body.u8()?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{BufMut as _, BytesMut};

    fn message(parts: &[&dyn Fn(&mut BytesMut)]) -> Bytes {
        let mut out = BytesMut::new();
        for part in parts {
            part(&mut out);
        }
        out.freeze()
    }

    #[test]
    fn a_change_is_told_with_its_row_before_and_after() {
        let mut reader = Reader::default();
        let table = message(&[&|out| {
            out.put_slice(b"R\0\0\0\x09public\0orders\0d\0\x02");
            out.put_slice(b"\x01id\0\0\0\0\x17\xff\xff\xff\xff");
            out.put_slice(b"\0paid\0\0\0\0\x10\xff\xff\xff\xff");
        }]);
        assert!(matches!(reader.read(table).unwrap(), Told::Nothing));
        let begin = message(&[&|out| {
            out.put_u8(b'B');
            out.put_u64(0x16_0000_00AB);
            out.put_u64(1_000_000);
            out.put_u32(77);
        }]);
        reader.read(begin).unwrap();
        let update = message(&[&|out| {
            out.put_slice(b"U\0\0\0\x09O\0\x02t\0\0\0\x017nN\0\x02t\0\0\0\x017t\0\0\0\x01t");
        }]);
        let Told::Change(change) = reader.read(update).unwrap() else { panic!() };
        assert_eq!(change.id, "16/AB-0");
        assert_eq!(change.at, Some(Time::from_ms(EPOCH_MS + 1000)));
        assert_eq!(change.shape["operation"], "UPDATE");
        assert_eq!(change.shape["old"], json!({ "id": 7, "paid": null }));
        assert_eq!(change.shape["new"], json!({ "id": 7, "paid": true }));
        assert_eq!(change.shape["types"], json!({ "id": "int4", "paid": "bool" }));
        let commit = message(&[&|out| {
            out.put_slice(b"C\0");
            out.put_u64(1);
            out.put_u64(2);
            out.put_u64(3);
        }]);
        assert!(matches!(reader.read(commit).unwrap(), Told::Commit { end: 2 }));
    }

    #[test]
    fn what_is_cut_off_is_refused_wherever_that_is() {
        let whole = b"R\0\0\0\x09public\0orders\0d\0\x01\x01id\0\0\0\0\x17\xff\xff\xff\xff";
        for length in 0..whole.len() {
            let cut = Bytes::copy_from_slice(&whole[..length]);
            assert!(Reader::default().read(cut).is_err(), "{length}");
        }
        assert!(Reader::default().read(Bytes::from_static(b"I\0\0\0\x09N\0\0")).is_err(), "an unknown table");
    }
}
