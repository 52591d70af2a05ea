// Everything that the fleet needs in Azure, in one resource group. The defaults are the size `try`;
// fleet.bicepparam has 10,000 drones. No key is read, passed on or put out anywhere, but for the one of `provisioning`: the app,
// the IoT hub and the people who look after them all come in by identity.
targetScope = 'resourceGroup'

@description('Begins the name of every resource. Capitals are made small and hyphens left out: storage takes neither.')
@minLength(3)
@maxLength(10)
param name string = 'drones'

@description('Where everything goes. Flex Consumption must be offered there.')
param location string = resourceGroup().location

@description('The environment\'s name in azd, which finds its resources by this tag. Empty without azd.')
param environmentName string = ''

@description('Further tags for every resource.')
param tags { *: string } = {}

@description('How drones send: through an IoT hub, which knows each of them, or straight to Event Hubs.')
@allowed(['iotHub', 'eventHubs'])
param ingress string = 'iotHub'

@description('S1 takes 400,000 messages a day and unit, S2 6 million, S3 300 million.')
@allowed(['S1', 'S2', 'S3'])
param iotHubSku string = 'S1'

@description('At most 200 of S1 and S2, and 10 of S3: more is by support only.')
@minValue(1)
@maxValue(200)
param iotHubUnits int = 1

@description('Let one shared key stand for any registered drone, as `cargo drones --to iot-hub` needs it. Not for real drones.')
param simulatedDrones bool = false

@description('Let drones that nobody has registered come in by a Device Provisioning Service. Then the IoT hub takes one key, the service\'s. Of no effect without an IoT hub.')
param provisioning bool = false

@description('Each takes 1 MB or 1,000 events a second in, and twice the bytes and 4,096 events out.')
@minValue(1)
@maxValue(40)
param throughputUnits int = 1

@description('Event Hubs adds throughput units by itself up to this many; 0 for never.')
@minValue(0)
@maxValue(40)
param maximumThroughputUnits int = 0

@description('How many instances can share the work. It cannot be changed later.')
@minValue(1)
@maxValue(32)
param partitions int = 32

@description('How long the hub keeps events: how long the functions may stand still without losing any.')
@minValue(1)
@maxValue(168)
param retentionHours int = 24

@description('The most RU/s that the drones\' container scales to, made whole thousands; 0 for a serverless account. An account stays what it is.')
@minValue(0)
param dronesMaximumThroughput int = 0

@description('The most RU/s that the alerts\' container scales to, made whole thousands. Of no effect in a serverless account.')
@minValue(1000)
param alertsMaximumThroughput int = 1000

@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GZRS'])
param storageSku string = 'Standard_LRS'

@description('Days until an archived file is moved to the cool tier; 0 for never. Each file moved costs an operation: below some 200 KB a file that is more than a year in the cool tier saves.')
@minValue(0)
param archiveCoolAfterDays int = 0

@description('Days until an archived file is deleted. SummarizeDeliveries looks back three days: an hour whose files go meanwhile would be summarised without them.')
@minValue(5)
param archiveDeleteAfterDays int = 365

@description('Memory of an instance in MB; its share of a processor grows with it.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 512

@description('How far each of the app\'s scaling groups may scale out: all HTTP functions are one, every other function is one of its own.')
@minValue(40)
@maxValue(1000)
param maximumInstances int = 40

@description('Instances that are always there: `name` is `http` or `function:<FunctionName>`.')
param alwaysReady { name: string, instanceCount: int }[] = []

@description('How long a batch waits for more events. Longer is cheaper and later.')
param batchWait string = '00:00:02'

@description('The largest event that any device may send, in KB. It bounds the batches: one that is larger can stop an instance for want of memory.')
@minValue(1)
@maxValue(1024)
param largestEventKb int = 4

@description('Unprocessed events that one instance should cope with. Keep it well above events per second x batchWait.')
@minValue(1000)
param eventsPerInstance int = 5000

@description('Where alerts are sent, as CloudEvents. Empty: NotifyAlert is switched off.')
@secure()
param alertWebhookUrl string = ''

@description('Instead: where a Key Vault keeps that address, as `https://VAULT.vault.azure.net/secrets/NAME`. The app needs the role Key Vault Secrets User there.')
@secure()
param alertWebhookSecretUri string = ''

@description('How long one post to the webhook may take.')
@minValue(1)
@maxValue(120)
param alertWebhookTimeoutSeconds int = 10

@description('Thresholds of the alert rules other than the usual: `Alerts__<key>` becomes an app setting. Strings: a template has no fractions.')
param alertThresholds { *: string } = {}

@description('When SummarizeDeliveries looks for hours that are to be summarised: a cron expression of six fields, seconds first.')
param insightsSchedule string = '0 */5 * * * *'

@description('Summarise the hour under way as well, at each look: figures that are minutes old, for many times the work.')
param insightsLive bool = false

@description('A tile layer under the map, such as `https://tiles.example.com/{z}/{x}/{y}.png`. Empty for none.')
param fleetMapTiles string = ''

@description('Whom the tiles belong to, as the map says it.')
param fleetMapTilesAttribution string = ''

@description('What the handler logs, as `RUST_LOG` takes it.')
param logLevel string = 'info'

@description('Which share of the handler\'s traces is kept, whole, such as 0.05; 1 for all of them. Empty: at most five a second and process. Metrics are counted in full.')
param traceRatio string = '0.1'

@description('App settings beyond these. Each deployment sets the whole list: what was set by hand on the app is gone after it.')
param extraSettings { *: string } = {}

@description('A person or group who may read the data, send test events and register devices. Empty for nobody.')
param operatorPrincipalId string = ''

@allowed(['User', 'Group', 'ServicePrincipal'])
param operatorPrincipalType string = 'User'

@description('Who is told when something is wrong with the system. Without it, and without an action group, the alert rules are off.')
param alertEmail string = ''

@description('Action groups that exist already, beside or instead of the e-mail address.')
param actionGroupIds string[] = []

@description('What the group may cost a month, in the currency of the bill, before somebody is told; 0 for no budget. Needs alertEmail.')
@minValue(0)
param monthlyBudget int = 0

@description('The first day of the month that the budget begins with. It cannot be changed later.')
param budgetStart string = '2026-12-01'

@description('Whether silence is worth an alert: a fleet that never sleeps.')
param alertOnSilence bool = false

@description('The app registration (its client id) by which people sign in; then reading needs its app role GetStatus. Empty: no sign-in, function keys only.')
param signInClientId string = ''

@description('Spread the app, Cosmos DB and storage over availability zones. Not to be changed in place. Event Hubs does so by itself.')
param zoneRedundant bool = false

@description('Ask the app from outside every so many minutes whether it answers; 0 for never. Each request costs a little.')
@allowed([0, 5, 10, 15])
param availabilityTestMinutes int = 0

@description('Keep the data services off the internet: private endpoints, and the app inside a virtual network.')
param privateNetworking bool = false

@description('Address space of the virtual network; a /22 or larger.')
param addressSpace string = '10.60.0.0/22'

@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

@description('GB of logs a day, after which no more are taken until the next; -1 for no limit.')
param dailyLogCapGb int = 1

// Storage accounts and Cosmos DB take neither capitals nor hyphens.
var prefix = toLower(replace(name, '-', ''))
var suffix = uniqueString(resourceGroup().id, prefix)
var allTags = union(tags, empty(environmentName) ? {} : { 'azd-env-name': environmentName })
// Known before anything is deployed, so that a comparison sees into what is made of it.
var namespaceName = 'evhns-${prefix}-${suffix}'
var hubName = 'telemetry'
var databaseName = 'drone-delivery'
var redundantSku = zoneRedundant && storageSku == 'Standard_LRS' ? 'Standard_ZRS' : storageSku
var usesIotHub = ingress == 'iotHub'

// Messages a day and unit.
var iotHubDailyMessages = { S1: 400000, S2: 6000000, S3: 300000000 }

// Cosmos DB takes autoscale maxima in thousands only.
func wholeThousands(throughput int) int => ((throughput + 999) / 1000) * 1000

// How many events make a batch: as many as the memory of one instance holds of the largest ones, where it has all
// partitions of a function. The host holds an event of a batch about ten times over (base64, JSON in JSON, UTF-16),
// one that is fetched ahead once, and takes 300 MB for itself. Checked against what a host held: 12 partition readers
// in 2,048 MB pass with 1,000 events of 10 KB, 200 of 50 KB and 20 of 250 KB, and die with more.
var hostMemoryMB = 300
var copiesOfAnEvent = 11
var largestBatch = 1000
var heldKb = (instanceMemoryMB - hostMemoryMB) * 1024
var batchSize = max(1, min(largestBatch, heldKb / (partitions * copiesOfAnEvent * largestEventKb)))

// The identity of the app. One, user-assigned: its rights are there before the app is. What it costs: its principal id is not
// known before it is made, so a comparison (`what-if`) does not see into the role assignments that are named after it.
resource appIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-${prefix}-app-${suffix}'
  location: location
  tags: allTags
}

module monitoring 'modules/monitoring.bicep' = {
  params: {
    name: prefix
    suffix: suffix
    location: location
    tags: allTags
    appPrincipalId: appIdentity.properties.principalId
    retentionDays: logRetentionDays
    dailyCapGb: dailyLogCapGb
  }
}

module network 'modules/network.bicep' = if (privateNetworking) {
  params: {
    name: prefix
    suffix: suffix
    location: location
    tags: allTags
    addressSpace: addressSpace
  }
}

module eventHubs 'modules/event-hubs.bicep' = {
  params: {
    location: location
    tags: allTags
    namespaceName: namespaceName
    hubName: hubName
    partitions: partitions
    retentionHours: retentionHours
    throughputUnits: throughputUnits
    maximumThroughputUnits: maximumThroughputUnits
    isPublic: !privateNetworking
    appPrincipalId: appIdentity.properties.principalId
    operatorPrincipalId: operatorPrincipalId
    operatorPrincipalType: operatorPrincipalType
    workspaceId: monitoring.outputs.workspaceId
  }
}

module iotHub 'modules/iot-hub.bicep' = if (usesIotHub) {
  params: {
    name: prefix
    suffix: suffix
    location: location
    tags: allTags
    sku: iotHubSku
    units: iotHubSku == 'S3' && iotHubUnits > 10 ? fail('iotHubUnits: an S3 hub has at most 10 units') : iotHubUnits
    simulatedDrones: simulatedDrones
    provisioning: provisioning
    namespaceName: namespaceName
    hubName: hubName
    operatorPrincipalId: operatorPrincipalId
    operatorPrincipalType: operatorPrincipalType
    workspaceId: monitoring.outputs.workspaceId
  }
  dependsOn: [eventHubs]
}

module provisioningService 'modules/provisioning.bicep' = if (usesIotHub && provisioning) {
  params: {
    name: prefix
    suffix: suffix
    location: location
    tags: allTags
    iotHubId: iotHub!.outputs.hubId
    iotHubHost: iotHub!.outputs.host
    iotHubPolicy: iotHub!.outputs.provisioningPolicy
    operatorPrincipalId: operatorPrincipalId
    operatorPrincipalType: operatorPrincipalType
    workspaceId: monitoring.outputs.workspaceId
  }
}

module cosmos 'modules/cosmos.bicep' = {
  params: {
    name: prefix
    suffix: suffix
    location: location
    tags: allTags
    databaseName: databaseName
    dronesMaximumThroughput: wholeThousands(dronesMaximumThroughput)
    alertsMaximumThroughput: wholeThousands(alertsMaximumThroughput)
    zoneRedundant: zoneRedundant
    isPublic: !privateNetworking
    appPrincipalId: appIdentity.properties.principalId
    operatorPrincipalId: operatorPrincipalId
    workspaceId: monitoring.outputs.workspaceId
  }
}

module dataStorage 'modules/data-storage.bicep' = {
  params: {
    name: prefix
    suffix: suffix
    location: location
    tags: allTags
    sku: redundantSku
    archiveCoolAfterDays: archiveCoolAfterDays
    archiveDeleteAfterDays: archiveDeleteAfterDays
    isPublic: !privateNetworking
    appPrincipalId: appIdentity.properties.principalId
    operatorPrincipalId: operatorPrincipalId
    operatorPrincipalType: operatorPrincipalType
    workspaceId: monitoring.outputs.workspaceId
  }
}

module runtimeStorage 'modules/runtime-storage.bicep' = {
  params: {
    name: prefix
    suffix: suffix
    location: location
    tags: allTags
    sku: redundantSku
    isPublic: !privateNetworking
    appPrincipalId: appIdentity.properties.principalId
    workspaceId: monitoring.outputs.workspaceId
  }
}

module privateEndpoints 'modules/private-endpoints.bicep' = if (privateNetworking) {
  params: {
    name: prefix
    location: location
    tags: allTags
    networkId: network!.outputs.networkId
    subnetId: network!.outputs.endpointsSubnetId
    services: [
      { name: 'data-blob', id: dataStorage.outputs.accountId, group: 'blob' }
      { name: 'data-queue', id: dataStorage.outputs.accountId, group: 'queue' }
      { name: 'runtime-blob', id: runtimeStorage.outputs.accountId, group: 'blob' }
      { name: 'runtime-table', id: runtimeStorage.outputs.accountId, group: 'table' }
      { name: 'cosmos', id: cosmos.outputs.accountId, group: 'Sql' }
      { name: 'event-hubs', id: eventHubs.outputs.namespaceId, group: 'namespace' }
    ]
  }
}

module functionApp 'modules/function-app.bicep' = {
  params: {
    name: prefix
    suffix: suffix
    location: location
    tags: allTags
    identityId: appIdentity.id
    identityClientId: appIdentity.properties.clientId
    instanceMemoryMB: instanceMemoryMB
    maximumInstances: maximumInstances
    alwaysReady: alwaysReady
    subnetId: privateNetworking ? network!.outputs.appSubnetId : ''
    deploymentContainerUri: runtimeStorage.outputs.deploymentContainerUri
    runtimeStorageName: runtimeStorage.outputs.accountName
    dataStorageName: dataStorage.outputs.accountName
    eventHubsHost: eventHubs.outputs.host
    hubName: hubName
    devicesAreAuthenticated: usesIotHub
    cosmosEndpoint: cosmos.outputs.endpoint
    databaseName: databaseName
    applicationInsightsConnectionString: monitoring.outputs.connectionString
    batchWait: batchWait
    batchSize: batchSize
    eventsPerInstance: eventsPerInstance
    alertWebhookUrl: alertWebhookUrl
    alertWebhookSecretUri: alertWebhookSecretUri
    signInClientId: signInClientId
    zoneRedundant: zoneRedundant
    alertWebhookTimeoutSeconds: alertWebhookTimeoutSeconds
    alertThresholds: alertThresholds
    insightsSchedule: insightsSchedule
    insightsLive: insightsLive
    fleetMapTiles: fleetMapTiles
    fleetMapTilesAttribution: fleetMapTilesAttribution
    logLevel: logLevel
    traceRatio: traceRatio
    extraSettings: extraSettings
  }
  // Without the way there, the app's first start could not reach its own storage.
  dependsOn: [privateEndpoints]
}

module workbook 'modules/workbook.bicep' = {
  params: {
    name: prefix
    location: location
    tags: allTags
    workspaceId: monitoring.outputs.workspaceId
    applicationInsightsId: monitoring.outputs.applicationInsightsId
    cosmosAccountId: cosmos.outputs.accountId
    eventHubsNamespaceId: eventHubs.outputs.namespaceId
    apiUrl: 'https://${functionApp.outputs.host}/api'
  }
}

module alertRules 'modules/alert-rules.bicep' = {
  params: {
    name: prefix
    location: location
    tags: allTags
    workspaceId: monitoring.outputs.workspaceId
    eventHubsNamespaceId: eventHubs.outputs.namespaceId
    retentionHours: retentionHours
    alertEmail: alertEmail
    actionGroupIds: actionGroupIds
    iotHubId: usesIotHub ? iotHub!.outputs.hubId : ''
    iotHubDailyMessages: iotHubDailyMessages[iotHubSku] * iotHubUnits
    alertOnSilence: alertOnSilence
  }
}

module availability 'modules/availability.bicep' = if (availabilityTestMinutes > 0) {
  params: {
    name: prefix
    suffix: suffix
    location: location
    tags: allTags
    applicationInsightsId: monitoring.outputs.applicationInsightsId
    host: functionApp.outputs.host
    everyMinutes: availabilityTestMinutes
    actionGroups: alertRules.outputs.actionGroups
  }
}

module budget 'modules/budget.bicep' = if (monthlyBudget > 0 && !empty(alertEmail)) {
  params: {
    name: prefix
    amount: monthlyBudget
    start: budgetStart
    alertEmail: alertEmail
  }
}

@description('For `func azure functionapp publish` and `az functionapp deployment`.')
output functionAppName string = functionApp.outputs.appName
@description('The app\'s identity, for roles beyond this group.')
output appPrincipalId string = appIdentity.properties.principalId
output apiUrl string = 'https://${functionApp.outputs.host}/api'
@description('Empty where drones send straight to Event Hubs.')
output iotHubHost string = usesIotHub ? iotHub!.outputs.host : ''
output iotHubId string = usesIotHub ? iotHub!.outputs.hubId : ''
@description('Where enrolment groups are made; empty without `provisioning`.')
output provisioningHost string = usesIotHub && provisioning ? provisioningService!.outputs.host : ''
@description('What a drone has to know to come in by it.')
output provisioningScope string = usesIotHub && provisioning ? provisioningService!.outputs.idScope : ''
output eventHubsHost string = eventHubs.outputs.host
output eventHubName string = hubName
output cosmosEndpoint string = cosmos.outputs.endpoint
output dataStorageAccount string = dataStorage.outputs.accountName
output workbookId string = workbook.outputs.workbookId
