//! Where the handler's telemetry goes.

use std::collections::BTreeMap;
use std::error::Error;
use std::str::FromStr;

use clap::Args;

use super::Telemetry;

/// What decides where telemetry goes; any of them may be the user's.
const ENDPOINTS: [&str; 3] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
];

/// Each second: the page is brought up to date as often.
const PACE: [(&str, &str); 2] = [
    ("OTEL_METRIC_EXPORT_INTERVAL", "1000"),
    ("OTEL_BSP_SCHEDULE_DELAY", "1000"),
];

/// Options of every command that runs a handler.
#[derive(Debug, Clone, Args)]
pub struct OtlpOptions {
    /// Where the handler sends its spans and metrics, as OTLP over HTTP. here: to the page "What happens". off: nowhere. A URL: to
    /// your own collector, such as http://127.0.0.1:4318. OTEL_ variables that are set go to the handler as they are, and count.
    #[arg(long, value_name = "here|off|URL", default_value = "here")]
    pub otlp: OtlpTarget,
}

/// Where telemetry goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OtlpTarget {
    /// To the local system.
    Here,
    /// Nowhere.
    Off,
    /// To somebody's collector.
    Url(String),
}

impl FromStr for OtlpTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "here" => Ok(Self::Here),
            "off" => Ok(Self::Off),
            url => match url.parse::<http::Uri>() {
                Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) => {
                    Ok(Self::Url(url.to_owned()))
                }
                _ => Err("here, off, or a URL such as http://127.0.0.1:4318".to_owned()),
            },
        }
    }
}

impl OtlpOptions {
    /// Starts the collector, unless telemetry is switched off, and adds what the handler has to know to its app settings. Settings that
    /// are there win, and variables of this process come next.
    ///
    /// # Errors
    /// Where the port is taken.
    pub async fn start(
        &self,
        port: Option<u16>,
        settings: &mut Vec<(String, String)>,
    ) -> Result<Option<Telemetry>, Box<dyn Error>> {
        self.start_with(port, settings, std::env::vars().collect())
            .await
    }

    async fn start_with(
        &self,
        port: Option<u16>,
        settings: &mut Vec<(String, String)>,
        variables: BTreeMap<String, String>,
    ) -> Result<Option<Telemetry>, Box<dyn Error>> {
        let is_set = |settings: &[(String, String)], name: &str| {
            settings.iter().any(|(known, _)| known == name)
        };
        if self.otlp == OtlpTarget::Off {
            // Said by name, so that no variable switches it on again.
            if !is_set(settings, "OTEL_SDK_DISABLED") {
                settings.push(("OTEL_SDK_DISABLED".to_owned(), "true".to_owned()));
            }
            return Ok(None);
        }
        for (name, value) in variables {
            let is_chosen = self.otlp != OtlpTarget::Here && ENDPOINTS.contains(&name.as_str());
            if name.starts_with("OTEL_") && !is_chosen && !is_set(settings, &name) {
                settings.push((name, value));
            }
        }
        let [endpoint, ..] = ENDPOINTS;
        if let OtlpTarget::Url(url) = &self.otlp
            && !is_set(settings, endpoint)
        {
            settings.push((endpoint.to_owned(), url.clone()));
        }
        let elsewhere = settings
            .iter()
            .find(|(name, _)| ENDPOINTS.contains(&name.as_str()))
            .map(|(_, value)| without_credentials(value));
        let telemetry = Telemetry::start(port, elsewhere.as_deref())
            .await
            .map_err(|error| match port {
                Some(port) => format!(
                    "port {port} is in use: stop what uses it, or pass --telemetry-port PORT"
                ),
                None => format!("nothing can be listened for on 127.0.0.1: {error}"),
            })?;
        if elsewhere.is_none() {
            settings.push((endpoint.to_owned(), telemetry.url()));
            for (name, value) in PACE {
                if !is_set(settings, name) {
                    settings.push((name.to_owned(), value.to_owned()));
                }
            }
        }
        Ok(Some(telemetry))
    }
}

/// A collector's address may hold a key; the page shows where telemetry goes and no more.
fn without_credentials(url: &str) -> String {
    let uri = url.parse::<http::Uri>().ok();
    let shown = uri.as_ref().and_then(|uri| {
        let scheme = uri.scheme_str()?;
        let authority = uri.authority()?.as_str();
        let host = authority.rsplit('@').next()?;
        Some(format!("{scheme}://{host}"))
    });
    shown.unwrap_or_else(|| "another collector".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    async fn settings(
        otlp: &str,
        given: &[(&str, &str)],
        variables: &[(&str, &str)],
    ) -> (BTreeMap<String, String>, Option<Telemetry>) {
        let own = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        let mut settings = own(given);
        let options = OtlpOptions {
            otlp: otlp.parse().unwrap(),
        };
        let telemetry = options
            .start_with(Some(0), &mut settings, own(variables).into_iter().collect())
            .await
            .unwrap();
        (settings.into_iter().collect(), telemetry)
    }

    #[tokio::test]
    async fn without_more_it_comes_here_each_second() {
        let (settings, telemetry) = settings("here", &[], &[("PATH", "/bin")]).await;
        let telemetry = telemetry.unwrap();
        assert_eq!(settings["OTEL_EXPORTER_OTLP_ENDPOINT"], telemetry.url());
        assert_eq!(settings["OTEL_METRIC_EXPORT_INTERVAL"], "1000");
        assert_eq!(settings["OTEL_BSP_SCHEDULE_DELAY"], "1000");
        assert_eq!(settings.len(), 3);
        assert_eq!(telemetry.shared.elsewhere, None);
    }

    #[tokio::test]
    async fn what_the_user_has_set_counts() {
        let (settings, telemetry) = settings(
            "here",
            &[("OTEL_METRIC_EXPORT_INTERVAL", "5000")],
            &[
                (
                    "OTEL_EXPORTER_OTLP_ENDPOINT",
                    "https://key:word@collector.example/x?key=1",
                ),
                ("OTEL_METRIC_EXPORT_INTERVAL", "7000"),
                ("OTEL_SERVICE_NAME", "mine"),
            ],
        )
        .await;
        assert_eq!(
            settings["OTEL_EXPORTER_OTLP_ENDPOINT"],
            "https://key:word@collector.example/x?key=1"
        );
        assert_eq!(settings["OTEL_METRIC_EXPORT_INTERVAL"], "5000");
        assert_eq!(settings["OTEL_SERVICE_NAME"], "mine");
        assert_eq!(settings.len(), 3);
        let elsewhere = telemetry.unwrap().shared.elsewhere.clone();
        assert_eq!(elsewhere.as_deref(), Some("https://collector.example"));
    }

    #[tokio::test]
    async fn a_url_or_off_is_stronger_than_variables() {
        let variables = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://other:1")];
        let (to_url, _telemetry) = settings("http://mine:4318", &[], &variables).await;
        assert_eq!(to_url["OTEL_EXPORTER_OTLP_ENDPOINT"], "http://mine:4318");
        assert_eq!(to_url.len(), 1);
        let (off, telemetry) = settings("off", &[], &variables).await;
        assert!(telemetry.is_none());
        assert_eq!(
            off,
            [("OTEL_SDK_DISABLED".to_owned(), "true".to_owned())].into()
        );
    }

    #[test]
    fn anything_else_is_no_target() {
        for text in ["", "on", "127.0.0.1:4318", "ftp://x", "http//x"] {
            assert!(text.parse::<OtlpTarget>().is_err(), "{text}");
        }
    }
}
