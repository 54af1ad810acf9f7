//! The shapes of requests and answers, for the description of the API. The handlers name them in
//! their annotations.

/// Defines structs that describe a shape and are never constructed.
macro_rules! shapes {
    ($($(#[$about:meta])* $name:ident { $($(#[$field_about:meta])* $field:ident : $type:ty,)* })*) => {
        $($(#[$about])*
        #[derive(Debug, Serialize, ToSchema)]
        pub struct $name { $($(#[$field_about])* pub $field: $type,)* })*
    };
}

pub mod audit_shapes;
pub mod catalogue_shapes;
pub mod correction_shapes;
pub mod grant_shapes;
pub mod operator_shapes;
pub mod parameters;
pub mod shapes;
