//! Client library of rowstream.
