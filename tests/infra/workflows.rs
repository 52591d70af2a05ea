//! The workflows and azure.yaml say what they should, and name what exists.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::sources;

/// A workflow, as far as this repository uses the format: a key that is not here is a slip.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Workflow {
    name: String,
    on: Value,
    permissions: BTreeMap<String, String>,
    #[serde(default)]
    #[allow(dead_code, reason = "only its form matters")]
    concurrency: Option<Concurrency>,
    jobs: BTreeMap<String, Job>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[allow(dead_code, reason = "only its form matters")]
struct Concurrency {
    group: String,
    cancel_in_progress: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Job {
    runs_on: String,
    timeout_minutes: u32,
    #[serde(default)]
    needs: Option<String>,
    #[serde(default, rename = "if")]
    #[allow(dead_code, reason = "only its form matters")]
    condition: Option<String>,
    #[serde(default)]
    #[allow(dead_code, reason = "only its form matters")]
    continue_on_error: bool,
    #[serde(default)]
    environment: Option<String>,
    #[serde(default)]
    permissions: BTreeMap<String, String>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[allow(dead_code, reason = "only its form matters")]
struct Step {
    name: Option<String>,
    id: Option<String>,
    uses: Option<String>,
    #[serde(default)]
    with: BTreeMap<String, Value>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    run: Option<String>,
    #[serde(default, rename = "if")]
    condition: Option<String>,
}

fn workflows() -> Vec<(String, Workflow, String)> {
    sources::files(".github/workflows")
        .into_iter()
        .map(|(path, text)| {
            let workflow = serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"));
            (path, workflow, text)
        })
        .collect()
}

#[test]
fn workflows_have_the_form_that_github_reads() {
    let workflows = workflows();
    assert_eq!(workflows.len(), 4);
    for (path, workflow, _) in workflows {
        assert!(
            !workflow.name.is_empty() && !workflow.on.is_null(),
            "{path}"
        );
        for (name, job) in &workflow.jobs {
            assert!(job.runs_on.starts_with("ubuntu-"), "{path}: {name}");
            assert!(
                job.timeout_minutes <= 90,
                "{path}: {name} may hang for hours"
            );
            if let Some(needed) = &job.needs {
                assert!(
                    workflow.jobs.contains_key(needed),
                    "{path}: {name} needs {needed}"
                );
            }
            for step in &job.steps {
                assert!(
                    step.uses.is_some() != step.run.is_some(),
                    "{path}: {name}: {step:?}",
                    step = step.name
                );
                if let Some(action) = &step.uses {
                    assert!(action.contains("@v"), "{path}: {action} has no version");
                }
            }
        }
    }
}

/// A token is for the job that signs in; nobody else gets one, and no secret is kept at all.
#[test]
fn only_the_jobs_that_sign_in_get_a_token_and_none_keeps_a_secret() {
    let mut signed_in = 0;
    for (path, workflow, text) in workflows() {
        assert!(!text.contains("secrets."), "{path} reads a secret");
        assert_eq!(
            workflow.permissions,
            BTreeMap::from([("contents".into(), "read".into())]),
            "{path}"
        );
        for (name, job) in &workflow.jobs {
            let login = job.steps.iter().find(|step| {
                step.uses
                    .as_deref()
                    .is_some_and(|action| action.starts_with("azure/login@"))
            });
            let token = job.permissions.get("id-token").map(String::as_str);
            match login {
                Some(login) => {
                    signed_in += 1;
                    assert_eq!(token, Some("write"), "{path}: {name}");
                    for input in ["client-id", "tenant-id", "subscription-id"] {
                        assert!(login.with.contains_key(input), "{path}: {name}: {input}");
                    }
                }
                None => assert_eq!(token, None, "{path}: {name} does not sign in"),
            }
        }
        // Whoever may start it, a deployment goes through an environment, which can ask for a second person.
        if let Some(job) = workflow.jobs.get("deploy") {
            assert_eq!(job.environment.as_deref(), Some("azure"));
        }
    }
    assert_eq!(signed_in, 2);
}

/// Text that others can choose (a branch's name, a title) must not become part of a script.
#[test]
fn scripts_take_what_others_choose_from_the_environment_only() {
    for (path, workflow, _) in workflows() {
        for step in workflow.jobs.values().flat_map(|job| &job.steps) {
            let script = step.run.as_deref().unwrap_or_default();
            assert!(!script.contains("${{"), "{path}: {script}");
        }
    }
}

#[test]
fn what_workflows_run_is_there() {
    for (path, _, text) in workflows() {
        for word in text.split(|letter: char| letter.is_whitespace() || letter == '"') {
            let file = word.replace("$SIZE", "fleet");
            let ours = [".ci/", "infra/"]
                .iter()
                .any(|folder| file.starts_with(folder));
            if ours && !file.contains('*') {
                assert!(
                    sources::repository().join(&file).exists(),
                    "{path} names {file}"
                );
            }
        }
    }
}

/// azd finds the app by a tag that Bicep sets, and sends what the staging lays out.
#[test]
fn azd_and_bicep_agree_on_the_service() {
    let azd: Value = serde_saphyr::from_str(&sources::read("infra/azure.yaml")).unwrap();
    let services = azd["services"].as_object().unwrap();
    let (name, service) = services.iter().next().unwrap();
    let app = sources::read("infra/modules/function-app.bicep");
    assert!(
        app.contains(&format!("'azd-service-name': '{name}'")),
        "{name}"
    );
    assert_eq!(service["host"], "function");
    assert_eq!(service["dist"], "../target/app");
    let module = azd["infra"]["module"].as_str().unwrap();
    // azd takes a parameter file of that name rather than the template, and its environment is what the file reads.
    assert!(
        sources::repository()
            .join(format!("infra/{module}.bicepparam"))
            .is_file(),
        "{module}"
    );
}

/// What is a variable of the repository reaches the parameter files, in every job that deploys or compares.
#[test]
fn a_deployment_by_workflow_takes_what_was_chosen() {
    let mut deployments = 0;
    for (path, workflow, _) in workflows() {
        for (name, job) in &workflow.jobs {
            let step = |test: &dyn Fn(&Step) -> bool| job.steps.iter().position(test);
            let runs =
                |step: &Step, word: &str| step.run.as_deref().is_some_and(|run| run.contains(word));
            let Some(deploys) = step(&|step| runs(step, "az deployment group ")) else {
                continue;
            };
            deployments += 1;
            let run = job.steps[deploys].run.as_deref().unwrap_or_default();
            assert_eq!(
                run.matches("--parameters").count(),
                1,
                "{path}: {name} sets what the parameter files read from the environment"
            );
            let chosen = step(&|step| {
                runs(step, "GITHUB_ENV")
                    && runs(step, "DRONES_")
                    && step
                        .env
                        .values()
                        .any(|value| value == "${{ toJSON(vars) }}")
            });
            assert!(
                chosen.is_some_and(|chosen| chosen < deploys),
                "{path}: {name} deploys without what was chosen"
            );
            if workflow.name == "Deploy" {
                let refusal = step(&|step| runs(step, "infra/refuse-change-of-size.sh"));
                assert!(
                    refusal.is_some_and(|refusal| refusal < deploys),
                    "{path}: {name} may deploy one size over another"
                );
            }
        }
    }
    assert_eq!(deployments, 2);
}

/// Nothing here is the compiler: a pull request is where it looks at the templates, and where others' rules do.
#[test]
fn a_pull_request_is_held_against_the_compiler_and_the_rules_of_others() {
    let workflows = workflows();
    let (_, workflow, text) = workflows
        .iter()
        .find(|(_, workflow, _)| workflow.name == "Infrastructure")
        .unwrap();
    let paths = &workflow.on["pull_request"]["paths"];
    assert!(paths.as_array().unwrap().contains(&Value::from("infra/**")));
    for command in [
        "az bicep build --file infra/main.bicep",
        "az bicep build-params --file infra/try.bicepparam",
        "az bicep build-params --file infra/fleet.bicepparam",
        "az bicep lint --file infra/main.bicep",
        "az bicep format --file \"$file\"\n",
        "git diff --exit-code\n",
        "az bicep snapshot --file \"infra/$SIZE.bicepparam\" --mode validate",
    ] {
        assert!(text.contains(command), "no {command}");
    }
    // What a failing job would hide: the others need the one that builds.
    let mut jobs = workflow.jobs.iter();
    assert!(jobs.all(|(name, job)| name == "build" || job.needs.as_deref() == Some("build")));
    let rules = workflow.jobs["rules"].steps.iter();
    let rules: Vec<_> = rules.filter_map(|step| step.uses.as_deref()).collect();
    assert!(
        rules
            .iter()
            .any(|action| action.starts_with("microsoft/ps-rule@"))
    );
}
