// The way in for drones that nobody has registered: each proves which enrolment group it is of, and is registered at the IoT
// hub. The groups themselves are no resources of a template: infra/README.md makes one.
//
// The one place that reads a key. The service comes to its hub by a key of the hub's; by an identity it does so only in
// versions of its API that are in preview. So the hub takes keys where this is on, but none beside this one, which may
// write its registry and no more, and which nobody has but the service.

param name string
param suffix string
param location string
param tags { *: string }
param iotHubId string
param iotHubHost string
@description('The policy of the IoT hub whose key the service has.')
param iotHubPolicy string
param operatorPrincipalId string
param operatorPrincipalType string
param workspaceId string

var provisioningDataContributor = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  'dfce44e4-17b7-4bd1-a6d1-04996ec95633'
)

var key = listKeys('${iotHubId}/IotHubKeys/${iotHubPolicy}', '2023-06-30').primaryKey

resource service 'Microsoft.Devices/provisioningServices@2022-12-12' = {
  name: 'dps-${name}-${suffix}'
  location: location
  tags: tags
  sku: { name: 'S1', capacity: 1 }
  properties: {
    iotHubs: [
      {
        location: location
        connectionString: 'HostName=${iotHubHost};SharedAccessKeyName=${iotHubPolicy};SharedAccessKey=${key}'
      }
    ]
  }
}

// Makes the groups, and reads the keys of those that have one.
resource operatorMakesGroups 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(operatorPrincipalId)) {
  name: guid(service.id, operatorPrincipalId, provisioningDataContributor)
  scope: service
  properties: {
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
    roleDefinitionId: provisioningDataContributor
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: service
  properties: {
    workspaceId: workspaceId
    // Who was let in, and who has changed a group: a line each.
    logs: [
      { category: 'DeviceOperations', enabled: true }
      { category: 'ServiceOperations', enabled: true }
    ]
  }
}

output host string = service.properties.serviceOperationsHostName
output idScope string = service.properties.idScope
