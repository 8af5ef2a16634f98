//! The brokers that are measured.

use ambit_bus::testing::TestBroker;

/// A broker to measure with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// The embedded broker.
    Embedded,
    /// Apache Kafka.
    Kafka,
}

impl Lane {
    pub(crate) const ALL: [Self; 2] = [Self::Embedded, Self::Kafka];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Kafka => "kafka",
        }
    }

    /// A fresh broker; `None`, loudly, where Apache Kafka is not installed.
    pub(crate) fn start(self) -> Option<TestBroker> {
        match self {
            Self::Embedded => Some(TestBroker::embedded()),
            Self::Kafka => TestBroker::kafka(),
        }
    }
}
