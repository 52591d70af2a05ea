// The app: a plan that costs nothing while nothing happens, and the settings that lead it to everything else.

param name string
param suffix string
param location string
param tags object
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
param cosmosEndpoint string
param databaseName string
param applicationInsightsConnectionString string
param batchWait string
param eventsPerInstance int
@secure()
param alertWebhookUrl string
param alertThresholds object

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
]

var tuning = [
  // How often DetectSilentDrones looks: a cron expression of six fields, seconds first.
  { name: 'SilentDronesSchedule', value: '*/30 * * * * *' }
  { name: 'AzureFunctionsJobHost__extensions__eventHubs__maxWaitTime', value: batchWait }
  {
    name: 'AzureFunctionsJobHost__extensions__eventHubs__targetUnprocessedEventThreshold'
    value: string(eventsPerInstance)
  }
  // There is no instance metadata service for the Cosmos DB client to find, and it would wait for one.
  { name: 'COSMOS_DISABLE_IMDS', value: '1' }
]

var alertSettings = empty(alertWebhookUrl)
  ? [{ name: 'AzureWebJobs.NotifyAlert.Disabled', value: 'true' }]
  : [{ name: 'AlertWebhookUrl', value: alertWebhookUrl }]

var thresholdSettings = [for threshold in items(alertThresholds): {
  name: 'Alerts__${threshold.key}'
  value: string(threshold.value)
}]

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: 'plan-${name}-${suffix}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { tier: 'FlexConsumption', name: 'FC1' }
  properties: { reserved: true }
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
        alwaysReady: alwaysReady
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      appSettings: concat(runtimeSettings, connections, tuning, alertSettings, thresholdSettings)
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
