//! Serves PostgreSQL result sets of any size as gRPC streams.
