//! `wasi:blobstore`: containers are buckets of S3, and every other client of S3 sees the same objects.

use super::super::guest::Guest;
use super::super::pipe::Stdin;
use super::value::{IncomingValue, OutgoingValue};
use super::wasi::blobstore::container::{ContainerMetadata, ObjectMetadata};
use super::wasi::blobstore::types::ObjectId;
use super::wasi::blobstore::{blobstore, container, types};
use super::{BLOBSTORE, lists};
use crate::stores::{Objects, Place, Unstored};
use std::collections::VecDeque;
use std::sync::Arc;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

/// Values that a guest may be writing at once: what is written before there is a place for it is in memory.
const VALUES_MAX: usize = 64;
/// Names that one call may give: what they hold is copied.
const NAMES_MAX: u64 = 1000;

/// A container that the guest has opened.
pub struct Open(Place);

/// The names of a container's objects, page after page.
pub struct Names {
    container: Place,
    page: VecDeque<String>,
    /// Behind which the next page begins; `None` at the beginning.
    last: Option<String>,
    more: bool,
}

type Answer<T> = wasmtime::Result<Result<T, String>>;

fn text(failure: Unstored) -> String {
    match failure {
        Unstored::Denied => "access denied".into(),
        Unstored::Failed(text) => text,
    }
}

fn answer<T>(stored: Result<T, Unstored>) -> Answer<T> {
    Ok(stored.map_err(text))
}

fn no_such(kind: &str, name: &str) -> String {
    format!("there is no {kind} {name}")
}

impl Guest {
    fn objects(&self) -> Arc<dyn Objects> {
        self.platform.objects()
    }

    /// The container of this name, if the function lists it.
    fn container(&self, name: &str) -> Result<Place, String> {
        match lists(&self.version, BLOBSTORE, name) {
            true => Ok(self.place(name.to_owned())),
            false => {
                Err(format!("access denied: the variable {BLOBSTORE} does not name the container {name}"))
            }
        }
    }

    fn opened(&self, open: &Resource<Open>) -> wasmtime::Result<Place> {
        Ok(self.table.get(open)?.0.clone())
    }

    async fn is_there(&mut self, container: &Place) -> Result<bool, String> {
        Ok(self.objects().container(container.clone()).await.map_err(text)?.is_some())
    }

    /// Deletes all objects of a container.
    async fn empty(&mut self, container: &Place) -> Result<(), Unstored> {
        loop {
            let (names, _) = self.objects().names(container.clone(), None).await?;
            if names.is_empty() {
                return Ok(());
            }
            for name in names {
                self.objects().delete(container.clone(), name).await?;
            }
        }
    }

    async fn copied(&mut self, from: &ObjectId, to: &ObjectId) -> Result<(), String> {
        let (source, target) = (self.container(&from.container)?, self.container(&to.container)?);
        let copy = self.objects().copy((source, from.object.clone()), (target, to.object.clone()));
        copy.await.map_err(text)
    }

    /// The container itself, or why not.
    async fn found(&mut self, name: &str) -> Result<Place, String> {
        let container = self.container(name)?;
        match self.is_there(&container).await? {
            true => Ok(container),
            false => Err(no_such("container", name)),
        }
    }
}

impl blobstore::Host for Guest {
    async fn create_container(&mut self, name: String) -> Answer<Resource<Open>> {
        let container = match self.container(&name) {
            Ok(container) => container,
            Err(denied) => return Ok(Err(denied)),
        };
        match self.objects().create(container.clone()).await {
            Ok(()) => Ok(Ok(self.table.push(Open(container))?)),
            Err(failure) => Ok(Err(text(failure))),
        }
    }

    async fn get_container(&mut self, name: String) -> Answer<Resource<Open>> {
        match self.found(&name).await {
            Ok(container) => Ok(Ok(self.table.push(Open(container))?)),
            Err(text) => Ok(Err(text)),
        }
    }

    async fn delete_container(&mut self, name: String) -> Answer<()> {
        let container = match self.found(&name).await {
            Ok(container) => container,
            Err(text) => return Ok(Err(text)),
        };
        match self.empty(&container).await {
            Ok(()) => answer(self.objects().remove(container).await),
            Err(failure) => answer(Err(failure)),
        }
    }

    async fn container_exists(&mut self, name: String) -> Answer<bool> {
        match self.container(&name) {
            Ok(container) => Ok(self.is_there(&container).await),
            Err(denied) => Ok(Err(denied)),
        }
    }

    async fn copy_object(&mut self, src: ObjectId, dest: ObjectId) -> Answer<()> {
        Ok(self.copied(&src, &dest).await)
    }

    async fn move_object(&mut self, src: ObjectId, dest: ObjectId) -> Answer<()> {
        if (&src.container, &src.object) == (&dest.container, &dest.object) {
            return Ok(Ok(()));
        }
        if let Err(text) = self.copied(&src, &dest).await {
            return Ok(Err(text));
        }
        match self.container(&src.container) {
            Ok(container) => answer(self.objects().delete(container, src.object).await),
            Err(denied) => Ok(Err(denied)),
        }
    }
}

impl container::Host for Guest {}

impl container::HostContainer for Guest {
    async fn name(&mut self, container: Resource<Open>) -> Answer<String> {
        Ok(Ok(self.opened(&container)?.name))
    }

    async fn info(&mut self, container: Resource<Open>) -> Answer<ContainerMetadata> {
        let container = self.opened(&container)?;
        let name = container.name.clone();
        let made = self.objects().container(container).await.map_err(text);
        Ok(made.and_then(|made| {
            let made = made.ok_or_else(|| no_such("container", &name))?;
            Ok(ContainerMetadata { created_at: made.ms() / 1000, name })
        }))
    }

    async fn get_data(
        &mut self,
        container: Resource<Open>,
        name: String,
        start: u64,
        end: u64,
    ) -> Answer<Resource<IncomingValue>> {
        let range = (start > 0 || end < u64::MAX).then_some((start, end));
        match self.objects().get(self.opened(&container)?, name, range).await {
            Ok((size, body)) => Ok(Ok(self.table.push(IncomingValue { size, body })?)),
            Err(failure) => Ok(Err(text(failure))),
        }
    }

    async fn write_data(
        &mut self,
        container: Resource<Open>,
        name: String,
        data: Resource<OutgoingValue>,
    ) -> Answer<()> {
        let (container, objects) = (self.opened(&container)?, self.objects());
        let value = self.table.get_mut(&data)?;
        Ok(value.send(|body| objects.put(container, name, body)))
    }

    async fn list_objects(&mut self, container: Resource<Open>) -> Answer<Resource<Names>> {
        let container = self.opened(&container)?;
        let names = Names { container, page: VecDeque::new(), last: None, more: true };
        Ok(Ok(self.table.push(names)?))
    }

    async fn delete_object(&mut self, container: Resource<Open>, name: String) -> Answer<()> {
        answer(self.objects().delete(self.opened(&container)?, name).await)
    }

    async fn delete_objects(&mut self, container: Resource<Open>, names: Vec<String>) -> Answer<()> {
        let container = self.opened(&container)?;
        for name in names {
            if let Err(failure) = self.objects().delete(container.clone(), name).await {
                return answer(Err(failure));
            }
        }
        Ok(Ok(()))
    }

    async fn has_object(&mut self, container: Resource<Open>, name: String) -> Answer<bool> {
        let info = self.objects().info(self.opened(&container)?, name).await;
        answer(info.map(|info| info.is_some()))
    }

    async fn object_info(&mut self, container: Resource<Open>, name: String) -> Answer<ObjectMetadata> {
        let container = self.opened(&container)?;
        let info = self.objects().info(container.clone(), name.clone()).await.map_err(text);
        Ok(info.and_then(|info| {
            let info = info.ok_or_else(|| no_such("object", &name))?;
            let (created_at, size) = (info.changed.ms() / 1000, info.size);
            Ok(ObjectMetadata { name, container: container.name, created_at, size })
        }))
    }

    async fn clear(&mut self, container: Resource<Open>) -> Answer<()> {
        let container = self.opened(&container)?;
        answer(self.empty(&container).await)
    }

    async fn drop(&mut self, container: Resource<Open>) -> wasmtime::Result<()> {
        self.table.delete(container)?;
        Ok(())
    }
}

impl Guest {
    /// Up to so many of the names that are left, and whether these were the last.
    async fn next_names(&mut self, names: &Resource<Names>, count: u64) -> Answer<(Vec<String>, bool)> {
        let count = usize::try_from(count.min(NAMES_MAX)).unwrap_or(0);
        let objects = self.objects();
        let names = self.table.get_mut(names)?;
        while names.page.len() <= count && names.more {
            let page = objects.names(names.container.clone(), names.last.clone()).await;
            let (page, more) = match page {
                Ok(page) => page,
                Err(failure) => return answer(Err(failure)),
            };
            names.last = page.last().cloned().or(names.last.take());
            names.page.extend(page);
            names.more = more;
        }
        let read = names.page.drain(..count.min(names.page.len())).collect();
        Ok(Ok((read, names.page.is_empty() && !names.more)))
    }
}

impl container::HostStreamObjectNames for Guest {
    async fn read_stream_object_names(
        &mut self,
        names: Resource<Names>,
        len: u64,
    ) -> Answer<(Vec<String>, bool)> {
        self.next_names(&names, len).await
    }

    async fn skip_stream_object_names(&mut self, names: Resource<Names>, num: u64) -> Answer<(u64, bool)> {
        let mut skipped = 0;
        loop {
            let (some, ended) = match self.next_names(&names, num - skipped).await? {
                Ok(read) => read,
                Err(failure) => return Ok(Err(failure)),
            };
            skipped += some.len() as u64;
            if ended || skipped >= num {
                return Ok(Ok((skipped, ended)));
            }
        }
    }

    async fn drop(&mut self, names: Resource<Names>) -> wasmtime::Result<()> {
        self.table.delete(names)?;
        Ok(())
    }
}

impl types::Host for Guest {}

impl types::HostOutgoingValue for Guest {
    async fn new_outgoing_value(&mut self) -> wasmtime::Result<Resource<OutgoingValue>> {
        if self.values >= VALUES_MAX {
            return Err(wasmtime::Error::msg(format!("more than {VALUES_MAX} outgoing values at once")));
        }
        self.values += 1;
        Ok(self.table.push(OutgoingValue::new())?)
    }

    async fn outgoing_value_write_body(
        &mut self,
        value: Resource<OutgoingValue>,
    ) -> wasmtime::Result<Result<Resource<DynOutputStream>, ()>> {
        match self.table.get_mut(&value)?.writer() {
            Some(writer) => Ok(Ok(self.table.push_child(writer, &value)?)),
            None => Ok(Err(())),
        }
    }

    async fn finish(&mut self, value: Resource<OutgoingValue>) -> Answer<()> {
        let value = self.table.delete(value)?;
        self.values -= 1;
        answer(value.finish().await)
    }

    async fn drop(&mut self, value: Resource<OutgoingValue>) -> wasmtime::Result<()> {
        self.table.delete(value)?;
        self.values -= 1;
        Ok(())
    }
}

impl types::HostIncomingValue for Guest {
    async fn incoming_value_consume_sync(&mut self, value: Resource<IncomingValue>) -> Answer<Vec<u8>> {
        let value = self.table.delete(value)?;
        Ok(value.gather(u64::from(self.version.memory_mib) << 20).await)
    }

    async fn incoming_value_consume_async(
        &mut self,
        value: Resource<IncomingValue>,
    ) -> Answer<Resource<DynInputStream>> {
        let stream: DynInputStream = Box::new(Stdin::new(self.table.delete(value)?.body));
        Ok(Ok(self.table.push(stream)?))
    }

    async fn size(&mut self, value: Resource<IncomingValue>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&value)?.size)
    }

    async fn drop(&mut self, value: Resource<IncomingValue>) -> wasmtime::Result<()> {
        self.table.delete(value)?;
        Ok(())
    }
}
