//! Every bound of the system, with its name. A fault that turns a caller away names one of these.
//!
//! The defaults are AWS's published quotas; the configuration file's `[limits]` table changes them.

use serde::{Deserialize, Serialize};

const MIB: u64 = 1024 * 1024;

/// The bounds that an operator may change. Sizes in bytes unless the name says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Invocations of an account in a region that may run at once, reserved ones included.
    pub account_concurrency: u32,
    /// Of those, how many must stay free of reservations.
    pub unreserved_concurrency_min: u32,
    /// Instances on this node at once, over all accounts.
    pub node_instances: u32,
    /// Memory that instances on this node may be promised, by the sizes of their functions. 0 stands for four
    /// times what the machine has: most functions stay far below their size.
    pub node_memory_bytes: u64,
    /// Events that may wait while the node is full.
    pub node_queue: usize,
    /// How long an event waits for a full node before it is turned away.
    pub node_queue_ms: u64,
    /// An instance that has had no work for this long is stopped.
    pub idle_instance_seconds: u64,
    /// An instance that has had no work for this long stands still until its next event.
    pub freeze_after_ms: u64,
    /// A version that does not initialise is tried again after this long, then after twice as long, and so on
    /// …
    pub init_backoff_ms: u64,
    /// … up to this.
    pub init_backoff_ms_max: u64,
    /// Interpreters that wait, booted, for the next starts; none of a kind that was not used lately.
    pub prewarmed_instances: usize,
    /// Versions with SnapStart that keep a process from which instances are forked.
    pub templates: usize,
    /// Such a process that nothing was forked from for this long is stopped.
    pub idle_template_seconds: u64,
    pub invoke_request_bytes: u64,
    pub invoke_response_bytes: u64,
    /// An answer that streams.
    pub stream_response_bytes: u64,
    pub async_event_bytes: u64,
    /// A zip archive sent inside CreateFunction or UpdateFunctionCode.
    pub package_zip_bytes: u64,
    /// A package and its layers, unpacked.
    pub package_unpacked_bytes: u64,
    pub package_files: u64,
    /// Layers of a container image, and what they hold together once they are unpacked.
    pub image_layers: usize,
    pub image_unpacked_bytes: u64,
    pub image_files: u64,
    /// How long the layers of an image may take to come from another registry.
    pub image_pull_seconds: u64,
    /// One layer, as it is pushed or pulled.
    pub registry_layer_bytes: u64,
    pub registry_manifest_bytes: u64,
    /// How long an unfinished upload, or a layer that no image names, is kept.
    pub registry_unused_seconds: u64,
    pub function_timeout_seconds: u32,
    pub init_timeout_seconds: u32,
    pub function_memory_mib_min: u32,
    pub function_memory_mib_max: u32,
    pub environment_bytes: u64,
    pub layers_per_function: usize,
    pub resource_policy_bytes: usize,
    /// Of an event bus.
    pub bus_policy_bytes: usize,
    /// All packages of an account together.
    pub code_storage_bytes: u64,
    pub http_request_bytes: u64,
    pub http_integration_timeout_ms: u64,
    /// Bodies of API calls that are not streams.
    pub api_request_bytes: u64,
    pub object_bytes: u64,
    /// Objects up to this size live in the store, larger ones beside it.
    pub inline_object_bytes: u64,
    pub part_bytes_min: u64,
    pub parts_per_upload: u32,
    pub buckets_per_account: usize,
    /// How far a signature's time may be from the server's.
    pub clock_skew_seconds: u64,
    pub tags_per_resource: usize,
    /// How long a stop waits for invocations that are under way.
    pub drain_seconds: u64,
    /// Asynchronous invocations of one function that run at once; the rest wait in the store.
    pub async_in_flight_per_function: usize,
    /// How long a failed asynchronous invocation rests before it is tried again; twice as long the next time.
    pub async_retry_seconds: u64,
    /// How many deliveries may follow from one another before the chain is cut.
    pub delivery_depth: u32,
    /// Batches of one event source mapping that run at once.
    pub mapping_batches: usize,
    /// A message with its attributes, and the messages of one batch together.
    pub sqs_message_bytes: u64,
    /// A message of a topic with its attributes, and the messages of one batch together.
    pub sns_message_bytes: u64,
    /// Subscriptions of one topic: all of them are told in one commit.
    pub sns_subscriptions: usize,
    /// How long mail, a text message or a push message that was not taken rests before it is offered again;
    /// later up to sixty times as long.
    pub sns_retry_seconds: u32,
    /// Messages of a standard queue that may be in flight.
    pub sqs_in_flight: u64,
    /// Messages of a FIFO queue that may be in flight.
    pub sqs_in_flight_fifo: u64,
    /// Connections that the gateway holds at once.
    pub connections: usize,
    /// A client that has not sent its request's head by then is cut off.
    pub request_head_seconds: u64,
    /// A value of a WebAssembly function's bucket of keys and values, and the values of one call together.
    pub keyvalue_value_bytes: u64,
    pub keyvalue_batch_bytes: u64,
    /// Calls of WebAssembly functions to the outside that are under way at once.
    pub outgoing_connections: usize,
    /// What one such call may send, and what its answer may bring.
    pub outgoing_body_bytes: u64,
    /// A client that sends nothing more of its request's body for this long is cut off.
    pub request_rest_seconds: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            account_concurrency: 1000,
            unreserved_concurrency_min: 100,
            node_instances: 1000,
            node_memory_bytes: 0,
            node_queue: 10_000,
            node_queue_ms: 10_000,
            idle_instance_seconds: 600,
            freeze_after_ms: 500,
            init_backoff_ms: 100,
            init_backoff_ms_max: 30_000,
            prewarmed_instances: 4,
            templates: 32,
            idle_template_seconds: 3600,
            invoke_request_bytes: 6 * MIB,
            invoke_response_bytes: 6 * MIB,
            stream_response_bytes: 200 * MIB,
            async_event_bytes: MIB,
            package_zip_bytes: 50 * MIB,
            package_unpacked_bytes: 250 * MIB,
            package_files: 100_000,
            image_layers: 127,
            image_unpacked_bytes: 10 * 1024 * MIB,
            image_files: 500_000,
            image_pull_seconds: 600,
            registry_layer_bytes: 10 * 1024 * MIB,
            registry_manifest_bytes: 4 * MIB,
            registry_unused_seconds: 24 * 3600,
            function_timeout_seconds: 900,
            init_timeout_seconds: 10,
            function_memory_mib_min: 128,
            function_memory_mib_max: 10_240,
            environment_bytes: 4 * 1024,
            layers_per_function: 5,
            resource_policy_bytes: 20 * 1024,
            bus_policy_bytes: 10 * 1024,
            code_storage_bytes: 75 * 1024 * MIB,
            http_request_bytes: 10 * MIB,
            http_integration_timeout_ms: 30_000,
            api_request_bytes: 70 * MIB,
            object_bytes: 5 * 1024 * 1024 * MIB,
            inline_object_bytes: 16 * 1024,
            part_bytes_min: 5 * MIB,
            parts_per_upload: 10_000,
            buckets_per_account: 100,
            clock_skew_seconds: 900,
            tags_per_resource: 50,
            drain_seconds: 30,
            async_in_flight_per_function: 64,
            async_retry_seconds: 60,
            delivery_depth: 16,
            mapping_batches: 1000,
            sqs_message_bytes: MIB,
            sns_message_bytes: 256 * 1024,
            sns_subscriptions: 10_000,
            sns_retry_seconds: 10,
            sqs_in_flight: 120_000,
            sqs_in_flight_fifo: 20_000,
            connections: 20_000,
            keyvalue_value_bytes: MIB,
            keyvalue_batch_bytes: 4 * MIB,
            outgoing_connections: 1000,
            outgoing_body_bytes: 200 * MIB,
            request_head_seconds: 20,
            request_rest_seconds: 60,
        }
    }
}
