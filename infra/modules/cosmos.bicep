// The drones' latest state, and the alerts.

param name string
param suffix string
param location string
param tags { *: string }
param databaseName string
@description('0 for a serverless account.')
param dronesMaximumThroughput int
param alertsMaximumThroughput int
param zoneRedundant bool
param isPublic bool
param appPrincipalId string
param operatorPrincipalId string
param workspaceId string

var isServerless = dronesMaximumThroughput == 0

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' = {
  name: 'cosmos-${name}-${suffix}'
  location: location
  tags: tags
  kind: 'GlobalDocumentDB'
  properties: {
    databaseAccountOfferType: 'Standard'
    capabilities: isServerless ? [{ name: 'EnableServerless' }] : []
    locations: [{ locationName: location, failoverPriority: 0, isZoneRedundant: zoneRedundant }]
    // Reads after a write in the same session, which is all that the ETag-guarded merge asks for.
    consistencyPolicy: { defaultConsistencyLevel: 'Session' }
    backupPolicy: {
      type: 'Continuous'
      continuousModeProperties: { tier: 'Continuous7Days' }
    }
    disableLocalAuth: true
    disableKeyBasedMetadataWriteAccess: true
    minimalTlsVersion: 'Tls12'
    publicNetworkAccess: isPublic ? 'Enabled' : 'Disabled'
  }
}

resource database 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases@2025-04-15' = {
  parent: account
  name: databaseName
  properties: {
    resource: { id: databaseName }
  }
}

// Every indexed path costs RU with every write, so only what is asked for is indexed.
resource drones 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2025-04-15' = {
  parent: database
  name: 'drones'
  properties: {
    resource: {
      id: 'drones'
      // A bucket of device ids: the drones of a hub partition's batch are in few of them, and are written together.
      partitionKey: { kind: 'Hash', paths: ['/bucket'], version: 2 }
      indexingPolicy: {
        indexingMode: 'consistent'
        automatic: true
        includedPaths: [
          { path: '/deviceId/?' }
          { path: '/deliveryId/?' }
          { path: '/lastSeenAt/?' }
          { path: '/flight/status/?' }
          // A box is asked for by its two ranges: the edges of a spatial polygon are great circles.
          { path: '/flight/position/coordinates/[]/?' }
        ]
        excludedPaths: [{ path: '/*' }]
      }
    }
    options: isServerless ? {} : { autoscaleSettings: { maxThroughput: dronesMaximumThroughput } }
  }
}

resource alerts 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2025-04-15' = {
  parent: database
  name: 'alerts'
  properties: {
    resource: {
      id: 'alerts'
      // Version 1 hashes the first 101 bytes only.
      partitionKey: { kind: 'Hash', paths: ['/deviceId'], version: 2 }
      // 30 days.
      defaultTtl: 2592000
      indexingPolicy: {
        indexingMode: 'consistent'
        automatic: true
        includedPaths: [
          { path: '/deviceId/?' }
          { path: '/active/?' }
          { path: '/raisedAt/?' }
          { path: '/rule/?' }
          { path: '/partition/?' }
        ]
        excludedPaths: [{ path: '/*' }]
      }
    }
    options: isServerless ? {} : { autoscaleSettings: { maxThroughput: alertsMaximumThroughput } }
  }
}

// Narrower than the built-in contributor: nothing is ever deleted, and no stored procedure run.
resource writerRole 'Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions@2025-04-15' = {
  parent: account
  name: guid(account.id, 'drone-delivery-writer')
  properties: {
    roleName: 'Drone Delivery writer'
    type: 'CustomRole'
    assignableScopes: ['${account.id}/dbs/${databaseName}']
    permissions: [
      {
        dataActions: [
          'Microsoft.DocumentDB/databaseAccounts/readMetadata'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/executeQuery'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/create'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/read'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/replace'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/upsert'
        ]
      }
    ]
  }
  dependsOn: [database]
}

resource appWrites 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2025-04-15' = {
  parent: account
  name: guid(account.id, appPrincipalId, writerRole.id)
  properties: {
    principalId: appPrincipalId
    roleDefinitionId: writerRole.id
    scope: '${account.id}/dbs/${databaseName}'
  }
}

resource operatorReads 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2025-04-15' = if (!empty(operatorPrincipalId)) {
  parent: account
  name: guid(account.id, operatorPrincipalId, 'reader')
  properties: {
    principalId: operatorPrincipalId
    // Cosmos DB Built-in Data Reader.
    roleDefinitionId: '${account.id}/sqlRoleDefinitions/00000000-0000-0000-0000-000000000001'
    scope: '${account.id}/dbs/${databaseName}'
  }
  dependsOn: [database]
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: account
  properties: {
    workspaceId: workspaceId
    // Not DataPlaneRequests: a line a write would cost more than the write.
    logs: [
      { category: 'ControlPlaneRequests', enabled: true }
      { category: 'PartitionKeyRUConsumption', enabled: false }
    ]
  }
}

output accountId string = account.id
output endpoint string = account.properties.documentEndpoint
