// 10,000 drones, 2,500 events a second, 216 million a day.
using 'main.bicep'

// 300 million messages a day.
param iotHubSku = 'S3'
param iotHubUnits = 1
// 2,500 events a second in ask for 3; the fourth is for catching up.
param throughputUnits = 4
param maximumThroughputUnits = 10
// Three days: a weekend and a Monday morning.
param retentionHours = 72
// 1,050 writes a second at 10 RU, and half as much again for bursts: every drone once in the wait of a batch.
param dronesMaximumThroughput = 15000
param alertsMaximumThroughput = 4000
param storageSku = 'Standard_ZRS'
param instanceMemoryMB = 2048
// Of each function, not of the app.
param maximumInstances = 200
// At a steady load an instance that is always there is cheaper than one that is started on demand.
param alwaysReady = [
  { name: 'http', instanceCount: 1 }
  { name: 'function:UpdateDroneState', instanceCount: 1 }
  { name: 'function:ArchiveTelemetry', instanceCount: 1 }
  { name: 'function:RaiseAlerts', instanceCount: 1 }
]
// A drone reports every 5 seconds: at 10 two or three of its events become one write. With largestEventKb, how many events
// make a batch: it must hold what comes in that time, or it goes before.
param batchWait = '00:00:10'
// 2,500 events a second x 10 seconds are always on their way; only beyond that are instances added.
param eventsPerInstance = 50000
param alertOnSilence = true
param availabilityTestMinutes = 5
param logRetentionDays = 90
param dailyLogCapGb = 20
// A call has four spans, and there are ten calls a second: of all of them the traces would cost more than the logs.
param traceRatio = '0.05'

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
