//! `wasi:config`: a function's configuration is its environment variables.

use super::super::guest::Guest;
use super::wasi::config::store::{Error, Host};

impl Host for Guest {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, Error>> {
        Ok(Ok(self.version.environment.get(&key).cloned()))
    }

    async fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, Error>> {
        Ok(Ok(self.version.environment.clone().into_iter().collect()))
    }
}
