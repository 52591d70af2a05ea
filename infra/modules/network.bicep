// The virtual network of the private variant: one subnet for the app, one for the services' private endpoints.

param name string
param suffix string
param location string
param tags { *: string }
param addressSpace string

// The app goes out, and nobody comes in to it through the network: its callers come to the app's own address.
resource appRules 'Microsoft.Network/networkSecurityGroups@2024-05-01' = {
  name: 'nsg-${name}-app-${suffix}'
  location: location
  tags: tags
  properties: {
    securityRules: [
      {
        name: 'nobody-comes-in'
        properties: {
          direction: 'Inbound'
          access: 'Deny'
          priority: 4000
          protocol: '*'
          sourceAddressPrefix: 'Internet'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '*'
        }
      }
    ]
  }
}

// The services' private addresses are for the app: HTTPS, and AMQP to Event Hubs. Cosmos DB's direct mode is not used.
resource endpointsRules 'Microsoft.Network/networkSecurityGroups@2024-05-01' = {
  name: 'nsg-${name}-endpoints-${suffix}'
  location: location
  tags: tags
  properties: {
    securityRules: [
      {
        name: 'the-app'
        properties: {
          direction: 'Inbound'
          access: 'Allow'
          priority: 100
          protocol: 'Tcp'
          sourceAddressPrefix: cidrSubnet(addressSpace, 24, 0)
          sourcePortRange: '*'
          destinationAddressPrefix: cidrSubnet(addressSpace, 24, 1)
          destinationPortRanges: ['443', '5671', '5672']
        }
      }
      {
        name: 'nobody-else'
        properties: {
          direction: 'Inbound'
          access: 'Deny'
          priority: 4000
          protocol: '*'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '*'
        }
      }
    ]
  }
}

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: 'vnet-${name}-${suffix}'
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: [addressSpace] }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: cidrSubnet(addressSpace, 24, 0)
          networkSecurityGroup: { id: appRules.id }
          // What Flex Consumption asks for. Nothing else may live in this subnet.
          delegations: [
            {
              name: 'flex-consumption'
              properties: { serviceName: 'Microsoft.App/environments' }
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(addressSpace, 24, 1)
          networkSecurityGroup: { id: endpointsRules.id }
          // Without it the rules would not hold for private endpoints.
          privateEndpointNetworkPolicies: 'NetworkSecurityGroupEnabled'
        }
      }
    ]
  }
}

output networkId string = network.id
output appSubnetId string = '${network.id}/subnets/app'
output endpointsSubnetId string = '${network.id}/subnets/endpoints'
