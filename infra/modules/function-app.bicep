// The app: a plan that costs nothing while nothing happens, and the settings that lead it to everything else.

param name string
param suffix string
param location string
param tags { *: string }
param identityId string
param identityClientId string
param instanceMemoryMB int
param maximumInstances int
param alwaysReady { name: string, instanceCount: int }[]
@description('Empty to stay outside of any virtual network.')
param subnetId string
param deploymentContainerUri string
param runtimeStorageName string
param dataStorageName string
param eventHubsHost string
param hubName string
@description('Whether events come by way of IoT Hub alone, which says whose each is.')
param devicesAreAuthenticated bool
param cosmosEndpoint string
param databaseName string
param applicationInsightsConnectionString string
param batchWait string
param batchSize int
param eventsPerInstance int
@secure()
param alertWebhookUrl string
@secure()
param alertWebhookSecretUri string
param alertWebhookTimeoutSeconds int
param alertThresholds { *: string }
param insightsSchedule string
param insightsLive bool
param fleetMapTiles string
param fleetMapTilesAttribution string
param logLevel string
param traceRatio string
param extraSettings { *: string }
@description('Empty for no sign-in.')
param signInClientId string
param zoneRedundant bool

var storageHost = environment().suffixes.storage

var runtimeSettings = [
  { name: 'AzureWebJobsStorage__blobServiceUri', value: 'https://${runtimeStorageName}.blob.${storageHost}' }
  { name: 'AzureWebJobsStorage__queueServiceUri', value: 'https://${runtimeStorageName}.queue.${storageHost}' }
  { name: 'AzureWebJobsStorage__tableServiceUri', value: 'https://${runtimeStorageName}.table.${storageHost}' }
  { name: 'AzureWebJobsStorage__credential', value: 'managedidentity' }
  { name: 'AzureWebJobsStorage__clientId', value: identityClientId }
  { name: 'APPLICATIONINSIGHTS_CONNECTION_STRING', value: applicationInsightsConnectionString }
  { name: 'APPLICATIONINSIGHTS_AUTHENTICATION_STRING', value: 'ClientId=${identityClientId};Authorization=AAD' }
]

var connections = [
  { name: 'TelemetryHub__fullyQualifiedNamespace', value: eventHubsHost }
  { name: 'TelemetryHub__credential', value: 'managedidentity' }
  { name: 'TelemetryHub__clientId', value: identityClientId }
  { name: 'TelemetryHubName', value: hubName }
  { name: 'CosmosDb__accountEndpoint', value: cosmosEndpoint }
  { name: 'CosmosDb__credential', value: 'managedidentity' }
  { name: 'CosmosDb__clientId', value: identityClientId }
  { name: 'CosmosDbDatabase', value: databaseName }
  { name: 'FleetStorage__blobServiceUri', value: 'https://${dataStorageName}.blob.${storageHost}' }
  { name: 'FleetStorage__queueServiceUri', value: 'https://${dataStorageName}.queue.${storageHost}' }
  { name: 'FleetStorage__credential', value: 'managedidentity' }
  { name: 'FleetStorage__clientId', value: identityClientId }
  // What is overwritten with each batch lies where nothing keeps what was overwritten.
  { name: 'StateStorage__blobServiceUri', value: 'https://${runtimeStorageName}.blob.${storageHost}' }
  { name: 'StateStorage__credential', value: 'managedidentity' }
  { name: 'StateStorage__clientId', value: identityClientId }
]

var tuning = [
  // Fails closed: what IoT Hub has authenticated nobody for is not taken.
  { name: 'RequireAuthenticatedDevice', value: string(devicesAreAuthenticated) }
  // How often AdvanceWatermarks looks: a cron expression of six fields, seconds first.
  { name: 'AdvanceWatermarksSchedule', value: '*/30 * * * * *' }
  // How often SummarizeDeliveries looks for hours that are to be summarised, and whether the hour under way is one of them.
  { name: 'SummarizeDeliveriesSchedule', value: insightsSchedule }
  { name: 'InsightsLive', value: string(insightsLive) }
  // One decision. A batch that may be smaller than the largest goes before its wait is over, and every drone is written
  // more often; a prefetch beyond it takes memory and brings nothing.
  { name: 'AzureFunctionsJobHost__extensions__eventHubs__maxWaitTime', value: batchWait }
  { name: 'AzureFunctionsJobHost__extensions__eventHubs__minEventBatchSize', value: string(batchSize) }
  { name: 'AzureFunctionsJobHost__extensions__eventHubs__maxEventBatchSize', value: string(batchSize) }
  { name: 'AzureFunctionsJobHost__extensions__eventHubs__prefetchCount', value: string(batchSize) }
  {
    name: 'AzureFunctionsJobHost__extensions__eventHubs__targetUnprocessedEventThreshold'
    value: string(eventsPerInstance)
  }
  // There is no instance metadata service for the Cosmos DB client to find, and it would wait for one.
  { name: 'COSMOS_DISABLE_IMDS', value: '1' }
  { name: 'RUST_LOG', value: logLevel }
  // Whoever sets RUST_BACKTRACE for a panic would otherwise have every error look for its own: twice the CPU.
  { name: 'RUST_LIB_BACKTRACE', value: '0' }
  { name: 'AlertWebhookTimeoutSeconds', value: string(alertWebhookTimeoutSeconds) }
  // Empty is as good as not set.
  { name: 'FleetMapTiles', value: fleetMapTiles }
  { name: 'FleetMapTilesAttribution', value: fleetMapTilesAttribution }
]

var webhook = empty(alertWebhookSecretUri) ? alertWebhookUrl : '@Microsoft.KeyVault(SecretUri=${alertWebhookSecretUri})'
var alertSettings = empty(alertWebhookUrl) && empty(alertWebhookSecretUri)
  ? [{ name: 'AzureWebJobs.NotifyAlert.Disabled', value: 'true' }]
  : [{ name: 'AlertWebhookUrl', value: webhook }]

// The handler asks for the app role only where it is told that somebody has signed people in.
var signInSettings = empty(signInClientId) ? [] : [{ name: 'RequireReaderRole', value: 'true' }]

// Not `parentbased_…`: the host says "not sampled" of every call, whatever becomes of its own request.
var tracing = empty(traceRatio)
  ? []
  : [
      { name: 'OTEL_TRACES_SAMPLER', value: 'traceidratio' }
      { name: 'OTEL_TRACES_SAMPLER_ARG', value: traceRatio }
    ]

var thresholdSettings = [
  for threshold in items(alertThresholds): {
    name: 'Alerts__${threshold.key}'
    value: threshold.value
  }
]

var extraSettingsList = [
  for setting in items(extraSettings): {
    name: setting.key
    value: setting.value
  }
]

// One instance is in one zone.
var readyInstances = [
  for group in alwaysReady: {
    name: group.name
    instanceCount: zoneRedundant ? max(2, group.instanceCount) : group.instanceCount
  }
]

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: 'plan-${name}-${suffix}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { tier: 'FlexConsumption', name: 'FC1' }
  properties: { reserved: true, zoneRedundant: zoneRedundant }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: 'func-${name}-${suffix}'
  location: location
  // azd finds the app of its service `handler` by this tag.
  tags: union(tags, { 'azd-service-name': 'handler' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    functionAppConfig: {
      runtime: { name: 'custom', version: '1.0' }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: deploymentContainerUri
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstances
        alwaysReady: readyInstances
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      appSettings: concat(
        runtimeSettings,
        connections,
        tuning,
        tracing,
        alertSettings,
        signInSettings,
        thresholdSettings,
        extraSettingsList
      )
    }
  }

  // Who signs in is known by their token, and reads only with the app role GetStatus. What anybody may see stays open: health,
  // the pages and their files, which ask for data themselves, and the description of the API.
  resource signIn 'config' = if (!empty(signInClientId)) {
    name: 'authsettingsV2'
    properties: {
      platform: { enabled: true }
      globalValidation: {
        requireAuthentication: true
        unauthenticatedClientAction: 'Return401'
        excludedPaths: [
          '/api/health'
          '/api/map'
          '/api/map/*'
          '/api/fleet/insights'
          '/api/fleet/insights/*'
          '/api/openapi.json'
        ]
      }
      identityProviders: {
        azureActiveDirectory: {
          enabled: true
          registration: {
            clientId: signInClientId
            openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
          }
          validation: { allowedAudiences: [signInClientId, 'api://${signInClientId}'] }
        }
      }
      httpSettings: { requireHttps: true }
    }
  }

  // Publishing is by Entra ID; user names and passwords would be a second way in.
  resource noFtpPassword 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: { allow: false }
  }

  resource noScmPassword 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: { allow: false }
  }
}

output appName string = app.name
output host string = app.properties.defaultHostName
