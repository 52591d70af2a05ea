// The archive, what was made of it, the dead letters and the alerts on their way out: the app's own data, apart from what its
// runtime keeps.

param name string
param suffix string
param location string
param tags { *: string }
param sku string
param archiveCoolAfterDays int
param archiveDeleteAfterDays int
param isPublic bool
param appPrincipalId string
param operatorPrincipalId string
param operatorPrincipalType string
param workspaceId string

var blobDataContributor = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
)
var blobDataReader = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1'
)
var queueDataContributor = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
)
var queueMessageSender = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  'c6a89b2d-59bc-44d0-9896-0f6e12d7b80a'
)

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: take('stdata${name}${suffix}', 24)
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: sku }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowSharedKeyAccess: false
    allowCrossTenantReplication: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: isPublic ? 'Enabled' : 'Disabled'
    networkAcls: {
      bypass: 'None'
      defaultAction: isPublic ? 'Allow' : 'Deny'
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-01-01' = {
  parent: account
  name: 'default'
  properties: {
    deleteRetentionPolicy: { enabled: true, days: 7 }
    containerDeleteRetentionPolicy: { enabled: true, days: 7 }
  }
}

resource telemetryArchive 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' = {
  parent: blobs
  name: 'telemetry-archive'
}

// The tables are rewritten under their ETag, and soft delete keeps each one that was: some 10 GB of a fleet whose hours are
// summarised once each, for they are rewritten by the hour, not by the second as what the rules know of a partition. That is
// worth it: they outlive the archive that they were made from, whose small files go into few under the same seven days.
resource deliveryInsights 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' = {
  parent: blobs
  name: 'delivery-insights'
}

resource deadLetterBodies 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' = {
  parent: blobs
  name: 'telemetry-dead-letters'
}

resource queues 'Microsoft.Storage/storageAccounts/queueServices@2025-01-01' = {
  parent: account
  name: 'default'
}

resource deadLetters 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-01-01' = {
  parent: queues
  name: 'telemetry-dead-letters'
}

resource droneAlerts 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-01-01' = {
  parent: queues
  name: 'drone-alerts'
}

// Where the Functions host puts a message that NotifyAlert has failed on five times.
resource droneAlertsPoison 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-01-01' = {
  parent: queues
  name: 'drone-alerts-poison'
}

// One message for each hour of a partition that is to be summarised.
resource insightUnits 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-01-01' = {
  parent: queues
  name: 'insight-units'
}

resource insightUnitsPoison 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-01-01' = {
  parent: queues
  name: 'insight-units-poison'
}

resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2025-01-01' = {
  parent: account
  name: 'default'
  properties: {
    policy: {
      // None for the tables of `delivery-insights` and its manifests: they are a ninth of the archive, and stay when it goes.
      rules: [
        {
          name: 'archive'
          type: 'Lifecycle'
          enabled: true
          definition: {
            filters: { blobTypes: ['blockBlob'], prefixMatch: ['telemetry-archive/'] }
            actions: {
              baseBlob: union(
                { delete: { daysAfterModificationGreaterThan: archiveDeleteAfterDays } },
                archiveCoolAfterDays > 0
                  ? { tierToCool: { daysAfterModificationGreaterThan: archiveCoolAfterDays } }
                  : {}
              )
            }
          }
        }
        {
          // A queue keeps a message for 7 days at most, and the body must outlive it.
          name: 'dead-letters'
          type: 'Lifecycle'
          enabled: true
          definition: {
            filters: { blobTypes: ['blockBlob'], prefixMatch: ['telemetry-dead-letters/'] }
            actions: {
              baseBlob: { delete: { daysAfterModificationGreaterThan: 30 } }
            }
          }
        }
      ]
    }
  }
  dependsOn: [blobs]
}

// Also lists, reads and deletes: the many files of an hour become few.
resource appWritesArchive 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(telemetryArchive.id, appPrincipalId, blobDataContributor)
  scope: telemetryArchive
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: blobDataContributor
  }
}

// Nothing is deleted there, but no built-in role writes blobs and may not delete them.
resource appWritesInsights 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(deliveryInsights.id, appPrincipalId, blobDataContributor)
  scope: deliveryInsights
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: blobDataContributor
  }
}

resource appWritesDeadLetterBodies 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(deadLetterBodies.id, appPrincipalId, blobDataContributor)
  scope: deadLetterBodies
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: blobDataContributor
  }
}

resource appSendsDeadLetters 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(deadLetters.id, appPrincipalId, queueMessageSender)
  scope: deadLetters
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: queueMessageSender
  }
}

// The trigger takes a message, deletes it, and where a call has failed updates it, which no narrower role may: Message
// Processor lacks `messages/write`, and a host that is refused stops. Not beyond the queue and its poison queue.
resource appHandlesAlerts 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(droneAlerts.id, appPrincipalId, queueDataContributor)
  scope: droneAlerts
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: queueDataContributor
  }
}

resource appHandlesPoison 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(droneAlertsPoison.id, appPrincipalId, queueDataContributor)
  scope: droneAlertsPoison
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: queueDataContributor
  }
}

// SummarizeDeliveries puts units there, SummarizeHour takes them.
resource appHandlesUnits 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insightUnits.id, appPrincipalId, queueDataContributor)
  scope: insightUnits
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: queueDataContributor
  }
}

resource appHandlesPoisonUnits 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insightUnitsPoison.id, appPrincipalId, queueDataContributor)
  scope: insightUnitsPoison
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: queueDataContributor
  }
}

resource operatorReadsBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(operatorPrincipalId)) {
  name: guid(account.id, operatorPrincipalId, blobDataReader)
  scope: account
  properties: {
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
    roleDefinitionId: blobDataReader
  }
}

// A dead letter that was sent again goes, and then the blob with its body.
resource operatorDeletesDeadLetterBodies 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(operatorPrincipalId)) {
  name: guid(deadLetterBodies.id, operatorPrincipalId, blobDataContributor)
  scope: deadLetterBodies
  properties: {
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
    roleDefinitionId: blobDataContributor
  }
}

// Also deletes, and shows again what it has taken: somebody has to clear the dead letters away once their cause is mended.
resource operatorHandlesQueues 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(operatorPrincipalId)) {
  name: guid(account.id, operatorPrincipalId, queueDataContributor)
  scope: account
  properties: {
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
    roleDefinitionId: queueDataContributor
  }
}

// What is put on the queues: the alert rules count it. Takes few lines, for little is put there.
resource queueDiagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: queues
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'StorageWrite', enabled: true }]
  }
}

// Who deletes from the archive, the app included, which does so with the small files of each hour. Not what is
// written: a line a file would cost more than the file.
resource blobDiagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: blobs
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'StorageDelete', enabled: true }]
  }
}

output accountId string = account.id
output accountName string = account.name
