// A private address for each data service, and the names that lead there.

param name string
param location string
param tags { *: string }
param networkId string
param subnetId string
@description('`group` is the part of the service: blob, queue, table, Sql or namespace.')
param services { name: string, id: string, group: string }[]

// Names as the public cloud has them; other clouds have others.
var storageSuffix = environment().suffixes.storage
var zones = [
  { group: 'blob', zone: 'privatelink.blob.${storageSuffix}' }
  { group: 'queue', zone: 'privatelink.queue.${storageSuffix}' }
  { group: 'table', zone: 'privatelink.table.${storageSuffix}' }
  { group: 'Sql', zone: 'privatelink.documents.azure.com' }
  { group: 'namespace', zone: 'privatelink.servicebus.windows.net' }
]
var groups = map(zones, zone => zone.group)

resource dnsZones 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for zone in zones: {
    name: zone.zone
    location: 'global'
    tags: tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (zone, i) in zones: {
    parent: dnsZones[i]
    name: 'to-${name}'
    location: 'global'
    tags: tags
    properties: {
      virtualNetwork: { id: networkId }
      registrationEnabled: false
    }
  }
]

resource endpoints 'Microsoft.Network/privateEndpoints@2024-05-01' = [
  for service in services: {
    name: 'pep-${name}-${service.name}'
    location: location
    tags: tags
    properties: {
      subnet: { id: subnetId }
      privateLinkServiceConnections: [
        {
          name: service.name
          properties: {
            privateLinkServiceId: service.id
            groupIds: [service.group]
          }
        }
      ]
    }
  }
]

resource names 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-05-01' = [
  for (service, i) in services: {
    parent: endpoints[i]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        {
          name: toLower(service.group)
          properties: { privateDnsZoneId: dnsZones[indexOf(groups, service.group)].id }
        }
      ]
    }
    dependsOn: [links]
  }
]
