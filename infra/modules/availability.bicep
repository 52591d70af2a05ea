// Asks from outside whether the app answers: what does not run at all logs nothing that a query could find.

param name string
param suffix string
param location string
param tags { *: string }
param applicationInsightsId string
param host string
@description('5, 10 or 15 minutes between two requests from one place.')
param everyMinutes int
param actionGroups string[]

var places = [
  { Id: 'emea-nl-ams-azr' }
  { Id: 'us-va-ash-azr' }
  { Id: 'us-ca-sjc-azr' }
]

resource health 'Microsoft.Insights/webtests@2022-06-15' = {
  name: 'health-${name}-${suffix}'
  location: location
  // Which component it belongs to is told by this tag.
  tags: union(tags, { 'hidden-link:${applicationInsightsId}': 'Resource' })
  kind: 'standard'
  properties: {
    SyntheticMonitorId: 'health-${name}-${suffix}'
    Name: 'The app answers'
    Enabled: true
    Kind: 'standard'
    Frequency: everyMinutes * 60
    // Long enough for an instance that has to be started first; whatever fails is asked once more.
    Timeout: 120
    RetryEnabled: true
    Locations: places
    Request: {
      RequestUrl: 'https://${host}/api/health'
      HttpVerb: 'GET'
      ParseDependentRequests: false
    }
    ValidationRules: {
      ExpectedHttpStatusCode: 200
      SSLCheck: true
      SSLCertRemainingLifetimeCheck: 7
    }
  }
}

resource unavailable 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: '${name}-unavailable'
  location: 'global'
  tags: tags
  properties: {
    description: 'The app does not answer, or says that a store is out of its reach'
    severity: 1
    enabled: !empty(actionGroups)
    scopes: [health.id, applicationInsightsId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.WebtestLocationAvailabilityCriteria'
      webTestId: health.id
      componentId: applicationInsightsId
      // One place alone may have trouble of its own.
      failedLocationCount: 2
    }
    actions: [
      for id in actionGroups: { actionGroupId: id }
    ]
    autoMitigate: true
  }
}
