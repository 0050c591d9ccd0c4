//! The names that conditions may read, with their types. The one list of them.

use super::types::Type;
use crate::diagnostic::closest;

macro_rules! attributes {
    ($($variant:ident $namespace:literal $field:literal $type:expr;)*) => {
        /// One thing that a condition may read of a call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Attribute {
            $($variant,)*
            Context,
            Metadata,
            /// What `policy eval --input` was given.
            Input,
            /// A segment captured by the path pattern, by its index among the policy's captures.
            Capture(usize),
        }

        const NAMED: &[(&str, &str, Attribute)] = &[$(($namespace, $field, Attribute::$variant),)*];

        impl Attribute {
            pub fn ty(self) -> Type {
                match self {
                    $(Self::$variant => $type,)*
                    Self::Context => Type::map(Type::Text),
                    Self::Metadata => Type::map(Type::Dyn),
                    Self::Input => Type::Dyn,
                    Self::Capture(_) => Type::Text,
                }
            }
        }
    };
}

attributes! {
    Method "request" "method" Type::Text;
    Path "request" "path" Type::Text;
    UrlPath "request" "url_path" Type::Text;
    Query "request" "query" Type::Text;
    Params "request" "params" Type::map(Type::list(Type::Text));
    Host "request" "host" Type::Text;
    Scheme "request" "scheme" Type::Text;
    Protocol "request" "protocol" Type::Text;
    Headers "request" "headers" Type::map(Type::Text);
    Size "request" "size" Type::Int;
    Time "request" "time" Type::Timestamp;
    Id "request" "id" Type::Text;
    Body "request" "body" Type::Dyn;
    RawBody "request" "raw_body" Type::Bytes;
    Subject "identity" "subject" Type::Text;
    Issuer "identity" "issuer" Type::Text;
    Groups "identity" "groups" Type::list(Type::Text);
    Email "identity" "email" Type::Text;
    Scopes "identity" "scopes" Type::list(Type::Text);
    Tenant "identity" "tenant" Type::Text;
    IdentityMethod "identity" "method" Type::Text;
    Claims "identity" "claims" Type::map(Type::Dyn);
    Spiffe "identity" "spiffe" Type::Text;
    SourceAddress "source" "address" Type::Text;
    SourcePort "source" "port" Type::Int;
    SourcePrincipal "source" "principal" Type::Text;
    DestinationAddress "destination" "address" Type::Text;
    DestinationPort "destination" "port" Type::Int;
    DestinationPrincipal "destination" "principal" Type::Text;
    Mtls "connection" "mtls" Type::Bool;
    RequestedServerName "connection" "requested_server_name" Type::Text;
    GrpcService "grpc" "service" Type::Text;
    GrpcMethod "grpc" "method" Type::Text;
    ResponseCode "response" "code" Type::Int;
    ResponseHeaders "response" "headers" Type::map(Type::Text);
}

/// The namespace of the path's captures: its fields are the policy's own.
pub const CAPTURES: &str = "path";

impl Attribute {
    /// The attribute that a bare name is.
    pub fn of_root(name: &str) -> Option<Self> {
        match name {
            "context" => Some(Self::Context),
            "metadata" => Some(Self::Metadata),
            _ => None,
        }
    }

    pub fn of_field(namespace: &str, field: &str) -> Option<Self> {
        NAMED.iter().find(|(n, f, _)| *n == namespace && *f == field).map(|(_, _, attribute)| *attribute)
    }

    pub fn is_namespace(name: &str) -> bool {
        name == CAPTURES || NAMED.iter().any(|(namespace, _, _)| *namespace == name)
    }

    /// The full name that a misspelt field was probably meant to be.
    pub fn suggestion(namespace: &str, field: &str) -> Option<String> {
        let fields = NAMED.iter().filter(|(n, _, _)| *n == namespace).map(|(_, field, _)| *field);
        closest(field, fields).map(|field| format!("{namespace}.{field}"))
    }

    /// What an unknown bare name was probably meant to be: a namespace misspelt, or a field without one.
    pub fn root_suggestion(name: &str) -> Option<String> {
        if let Some(literal) =
            [("true", "true"), ("false", "false"), ("none", "null"), ("nil", "null"), ("null", "null")]
                .into_iter()
                .find_map(|(written, meant)| name.eq_ignore_ascii_case(written).then_some(meant))
        {
            return Some(literal.to_owned());
        }
        let of_field = NAMED.iter().find(|(_, field, _)| *field == name).map(|(n, f, _)| format!("{n}.{f}"));
        let roots = NAMED.iter().map(|(namespace, _, _)| *namespace).chain(["context", "metadata", CAPTURES]);
        of_field.or_else(|| closest(name, roots).map(str::to_owned))
    }

    /// The names of all attributes that every call has.
    #[cfg(test)]
    pub fn names() -> impl Iterator<Item = String> {
        let fields = NAMED.iter().map(|(namespace, field, _)| format!("{namespace}.{field}"));
        fields.chain(["context".to_owned(), "metadata".to_owned()])
    }

    /// All attributes but captures and what `policy eval` is given.
    #[cfg(test)]
    pub fn all() -> impl Iterator<Item = Self> {
        NAMED.iter().map(|(_, _, attribute)| *attribute).chain([Self::Context, Self::Metadata])
    }

    pub fn reads_body(self) -> bool {
        matches!(self, Self::Body | Self::RawBody)
    }

    pub fn reads_response(self) -> bool {
        matches!(self, Self::ResponseCode | Self::ResponseHeaders)
    }

    /// As written in a condition.
    pub fn name(self, captures: &[String]) -> String {
        match self {
            Self::Context => "context".into(),
            Self::Metadata => "metadata".into(),
            Self::Input => "input".into(),
            Self::Capture(index) => format!("{CAPTURES}.{}", captures.get(index).map_or("?", String::as_str)),
            _ => NAMED
                .iter()
                .find(|(_, _, attribute)| *attribute == self)
                .map_or_else(String::new, |(namespace, field, _)| format!("{namespace}.{field}")),
        }
    }
}
