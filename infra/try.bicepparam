// A handful of drones for a few dollars a day. The defaults of main.bicep are this size; what decides the bill is said here.
using 'main.bicep'

param iotHubSku = 'S1'
param throughputUnits = 1
param dronesMaximumThroughput = 0
param instanceMemoryMB = 512
param maximumInstances = 40
param archiveDeleteAfterDays = 60
param dailyLogCapGb = 1

// What a person has chosen. From the environment, so that it is the same by whatever way it is deployed (az, azd, the
// workflow) and outlives the next deployment; choices.env.example says what each is. The same lines for every size.
param name = readEnvironmentVariable('DRONES_NAME', 'drones')
param environmentName = readEnvironmentVariable('AZURE_ENV_NAME', '')
param operatorPrincipalId = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
param operatorPrincipalType = readEnvironmentVariable('AZURE_PRINCIPAL_TYPE', 'User')
param ingress = readEnvironmentVariable('DRONES_INGRESS', 'iotHub')
param simulatedDrones = bool(readEnvironmentVariable('DRONES_SIMULATED', 'false'))
param provisioning = bool(readEnvironmentVariable('DRONES_PROVISIONING', 'false'))
param largestEventKb = int(readEnvironmentVariable('DRONES_LARGEST_EVENT_KB', '4'))
param privateNetworking = bool(readEnvironmentVariable('DRONES_PRIVATE_NETWORKING', 'false'))
param addressSpace = readEnvironmentVariable('DRONES_ADDRESS_SPACE', '10.60.0.0/22')
param alertEmail = readEnvironmentVariable('DRONES_ALERT_EMAIL', '')
param actionGroupIds = json(readEnvironmentVariable('DRONES_ACTION_GROUP_IDS', '[]'))
param alertWebhookUrl = readEnvironmentVariable('DRONES_ALERT_WEBHOOK_URL', '')
param alertWebhookSecretUri = readEnvironmentVariable('DRONES_ALERT_WEBHOOK_SECRET_URI', '')
param alertWebhookTimeoutSeconds = int(readEnvironmentVariable('DRONES_ALERT_WEBHOOK_TIMEOUT_SECONDS', '10'))
param alertThresholds = json(readEnvironmentVariable('DRONES_ALERT_THRESHOLDS', '{}'))
param insightsSchedule = readEnvironmentVariable('DRONES_INSIGHTS_SCHEDULE', '0 */5 * * * *')
param insightsLive = bool(readEnvironmentVariable('DRONES_INSIGHTS_LIVE', 'false'))
param fleetMapTiles = readEnvironmentVariable('DRONES_MAP_TILES', '')
param fleetMapTilesAttribution = readEnvironmentVariable('DRONES_MAP_TILES_ATTRIBUTION', '')
param signInClientId = readEnvironmentVariable('DRONES_SIGN_IN_CLIENT_ID', '')
param zoneRedundant = bool(readEnvironmentVariable('DRONES_ZONE_REDUNDANT', 'false'))
param monthlyBudget = int(readEnvironmentVariable('DRONES_MONTHLY_BUDGET', '0'))
param budgetStart = readEnvironmentVariable('DRONES_BUDGET_START', '2026-12-01')
param logLevel = readEnvironmentVariable('DRONES_LOG_LEVEL', 'info')
param extraSettings = json(readEnvironmentVariable('DRONES_EXTRA_SETTINGS', '{}'))
param tags = json(readEnvironmentVariable('DRONES_TAGS', '{}'))
