// The drones' way in: authenticates each one, and passes its events on to the hub.

param name string
param suffix string
param location string
param tags { *: string }
param sku string
param units int
param simulatedDrones bool
param provisioning bool
param namespaceName string
param hubName string
param operatorPrincipalId string
param operatorPrincipalType string
param workspaceId string

var dataSender = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  '2b629674-e913-4c01-ae53-ef4638d8f975'
)
var iotHubDataContributor = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  '4fc6c259-987e-4a07-842e-c321cc9d413f'
)

// Keys for what has no identity in Entra, each with no more rights than it is for.
var provisioningPolicy = 'provisioning'
var policies = concat(
  simulatedDrones ? [{ keyName: 'device', rights: 'DeviceConnect' }] : [],
  provisioning ? [{ keyName: provisioningPolicy, rights: 'RegistryRead, RegistryWrite, ServiceConnect' }] : []
)

resource namespace 'Microsoft.EventHub/namespaces@2024-01-01' existing = {
  name: namespaceName

  resource hub 'eventhubs' existing = {
    name: hubName
  }
}

// User-assigned, because the route is checked while the IoT hub is made, when an identity of its own would have no right
// to send yet.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-${name}-iot-${suffix}'
  location: location
  tags: tags
}

resource iotHubSends 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(namespace::hub.id, identity.id, dataSender)
  scope: namespace::hub
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: dataSender
  }
}

resource iotHub 'Microsoft.Devices/IotHubs@2023-06-30' = {
  name: 'iot-${name}-${suffix}'
  location: location
  tags: tags
  sku: {
    name: sku
    capacity: units
  }
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identity.id}': {} }
  }
  properties: {
    // Services come in by identity only. Drones keep their own keys or certificates: they have no identity in Entra.
    disableLocalAuth: !simulatedDrones && !provisioning
    authorizationPolicies: empty(policies) ? null : policies
    minTlsVersion: '1.2'
    routing: {
      endpoints: {
        eventHubs: [
          {
            name: 'telemetry'
            authenticationType: 'identityBased'
            identity: { userAssignedIdentity: identity.id }
            endpointUri: 'sb://${split(replace(namespace.properties.serviceBusEndpoint, 'https://', ''), ':')[0]}'
            entityPath: hubName
            subscriptionId: subscription().subscriptionId
            resourceGroup: resourceGroup().name
          }
        ]
      }
      routes: [
        {
          name: 'telemetry'
          source: 'DeviceMessages'
          condition: 'true'
          endpointNames: ['telemetry']
          isEnabled: true
        }
      ]
      // Every message is routed; nothing is left for the built-in endpoint, which nobody reads.
      fallbackRoute: {
        source: 'DeviceMessages'
        condition: 'true'
        endpointNames: ['events']
        isEnabled: false
      }
    }
  }
  dependsOn: [iotHubSends]
}

resource operatorRegistersDevices 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(operatorPrincipalId)) {
  name: guid(iotHub.id, operatorPrincipalId, iotHubDataContributor)
  scope: iotHub
  properties: {
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
    roleDefinitionId: iotHubDataContributor
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: iotHub
  properties: {
    workspaceId: workspaceId
    // Not every connection: 10,000 drones come and go all day.
    logs: [
      { category: 'Routes', enabled: true }
      { category: 'DeviceIdentityOperations', enabled: true }
    ]
  }
}

output hubId string = iotHub.id
output host string = iotHub.properties.hostName
output provisioningPolicy string = provisioningPolicy
