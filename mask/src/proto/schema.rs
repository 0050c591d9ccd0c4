//! The messages of services, as their descriptor set tells.

use prost_reflect::{DescriptorPool, MessageDescriptor};

/// All services and messages that are known: a `FileDescriptorSet`, as `protoc --include_imports
/// --descriptor_set_out` and `buf build` write it.
#[derive(Clone, Debug)]
pub struct Schema {
    pool: DescriptorPool,
}

/// A type of message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    descriptor: MessageDescriptor,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is no complete set of descriptors: {0} (write it with `protoc --include_imports --descriptor_set_out`)"
)]
pub struct SchemaError(String);

impl Schema {
    pub fn decode(descriptor_set: &[u8]) -> Result<Self, SchemaError> {
        let pool = DescriptorPool::decode(descriptor_set).map_err(|error| SchemaError(error.to_string()))?;
        Ok(Self { pool })
    }

    /// The type of the messages that a method answers with; `path` is `/package.Service/Method`.
    pub fn answer_of(&self, path: &str) -> Option<Message> {
        let (service, method) = path.strip_prefix('/')?.split_once('/')?;
        let service = self.pool.get_service_by_name(service)?;
        let descriptor = service.methods().find(|known| known.name() == method)?.output();
        Some(Message { descriptor })
    }

    /// The type of that full name.
    pub fn message(&self, name: &str) -> Option<Message> {
        Some(Message { descriptor: self.pool.get_message_by_name(name)? })
    }
}

impl Message {
    pub(super) fn descriptor(&self) -> &MessageDescriptor {
        &self.descriptor
    }
}
