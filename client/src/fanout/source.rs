//! Where calls come from: any iterator, or any stream.

use tokio_stream::Stream;

use super::FanoutCall;

/// Marks an input that is an iterator.
#[derive(Debug)]
pub struct ByIterator(());

/// Marks an input that is a stream.
#[derive(Debug)]
pub struct ByStream(());

/// An iterator or a stream of calls. It is asked for one call at a time, when there is room for it.
///
/// `Kind` only tells the two apart, and is inferred.
pub trait IntoCalls<Kind> {
    /// What it is made of.
    type Call: FanoutCall;
    /// The calls.
    type Calls: Stream<Item = Self::Call>;

    /// The calls, as a stream.
    fn into_calls(self) -> Self::Calls;
}

impl<I> IntoCalls<ByIterator> for I
where
    I: IntoIterator,
    I::Item: FanoutCall,
{
    type Call = I::Item;
    type Calls = futures_util::stream::Iter<I::IntoIter>;

    fn into_calls(self) -> Self::Calls {
        futures_util::stream::iter(self)
    }
}

impl<S> IntoCalls<ByStream> for S
where
    S: Stream,
    S::Item: FanoutCall,
{
    type Call = S::Item;
    type Calls = S;

    fn into_calls(self) -> S {
        self
    }
}
