//! What is said where `az` says nothing, and what the report looks like.

use super::*;

#[tokio::test]
async fn an_answer_that_says_nothing_is_no_fault() {
    for (command, _) in GOOD {
        // Without it there is nothing to look at; with the next nobody asks.
        if ["account show", "role definition list"].contains(&command) {
            continue;
        }
        for az in [
            Recorded::good().but(command, "<html>Service unavailable</html>"),
            Recorded::good().but(command, r#"{"value": 1}"#),
            Recorded::good().refusing(command, "WARNING: slow\nERROR: (TooManyRequests) Later."),
        ] {
            let all = findings(&az, &everything()).await;
            assert!(!all.iter().any(Finding::fails), "{command}: {all:#?}");
            // Where nothing is free, a list that is not known is not missed.
            let expected = if command == "resource list" { 1 } else { 2 };
            assert!(unknown(&all).len() >= expected, "{command}: {all:#?}");
        }
    }
}

#[tokio::test]
async fn without_az_or_somebody_who_is_signed_in_there_is_one_sentence() {
    let nobody = "ERROR: Please run 'az login' to setup account.";
    // A session that is over is noticed with the first question to Azure itself.
    for command in ["account show", "group show"] {
        let az = Recorded::good().refusing(command, nobody);
        let error = look(&az, &options(None), &everything(), |_| {})
            .await
            .unwrap_err();
        assert_eq!(error, AzError::NotSignedIn);
        assert_eq!(
            error.to_string(),
            "nobody is signed in to `az`: run `az login`"
        );
    }
    let az = AzureCli::at("/nowhere/az");
    let error = look(&az, &options(None), &everything(), |_| {})
        .await
        .unwrap_err();
    assert_eq!(error, AzError::Missing);
    assert!(!PreflightError::from(error).is_of_options());

    let az = Recorded::good().but("account show", "Hello");
    let error = look(&az, &options(None), &everything(), |_| {})
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "`az account show` has answered something else than expected"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn a_program_is_run_and_its_first_error_is_told() {
    let az = AzureCli::at("sh");
    let answer = az.run(&["-c", "echo $AZURE_CORE_ONLY_SHOW_ERRORS"]).await;
    assert_eq!(answer.unwrap(), "true\n");
    let refused = az
        .run(&["-c", "echo secret; echo 'ERROR: (Denied) No.' >&2; exit 3"])
        .await;
    let error = refused.unwrap_err();
    assert!(error.says("(Denied) No."), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn the_region_is_the_groups_unless_it_is_said() {
    let az = Recorded::good();
    let plain = Wanted::parse("", |_| None).unwrap();
    let all = look(&az, &options(None), &plain, |_| {}).await.unwrap();
    assert!(all.contains(&Finding::ok("Flex Consumption", "westeurope offers it")));
    let all = look(&az, &options(Some("eastus")), &plain, |_| {})
        .await
        .unwrap();
    assert!(all.contains(&Finding::ok("Flex Consumption", "eastus offers it")));
    // The deployment would go where the group is.
    let group = all
        .iter()
        .find(|one| one.subject == "resource group")
        .unwrap();
    assert!(group.to_string().ends_with("location=eastus"), "{group}");

    let missing = "ERROR: (ResourceGroupNotFound) Resource group 'drones' could not be found.";
    let az = Recorded::good().refusing("group show", missing);
    let all = look(&az, &options(None), &plain, |_| {}).await.unwrap();
    assert!(unknown(&all).contains(&"Flex Consumption"));
}

#[tokio::test]
async fn the_report_has_a_line_for_each_and_commands_under_faults() {
    let az = Recorded::good().but("provider list", "[]");
    let plain = Wanted::parse("param ingress = 'eventHubs'", |_| None).unwrap();
    let mut shown = Vec::new();
    let options = options(Some("westeurope"));
    let all = look(&az, &options, &plain, |finding| {
        shown.push(finding.to_string());
    });
    let all = all.await.unwrap();
    assert_eq!(shown.len(), all.len());
    assert_eq!(shown[0], "ok                    az: 2.77.0");
    let lines: Vec<&str> = shown[4].lines().collect();
    assert!(lines[0].starts_with(
        "will fail             resource providers: not registered: Microsoft.DocumentDB, "
    ));
    assert_eq!(
        lines[1],
        "                        az provider register --namespace Microsoft.DocumentDB --wait"
    );
    assert!(
        shown
            .last()
            .unwrap()
            .starts_with("could not be checked  quota of cores")
    );
    assert_eq!(
        view::summary(&all),
        "1 of 14 will fail, 1 could not be checked. Run the commands, and look again."
    );
}
