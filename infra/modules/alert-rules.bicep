// Who is told, and of what. These rules watch the system; alerts about drones are the app's own.

param name string
param location string
param tags { *: string }
param workspaceId string
param cosmosAccountId string
param eventHubsNamespaceId string
param alertEmail string
param actionGroupIds string[]
param alertOnSilence bool

resource byEmail 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(alertEmail)) {
  name: 'ag-${name}'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: name
    enabled: true
    emailReceivers: [{ name: 'operator', emailAddress: alertEmail, useCommonAlertSchema: true }]
  }
}

var actionGroups = concat(actionGroupIds, empty(alertEmail) ? [] : [byEmail.id])

// Each query gives a `value`, and a `subject` that is told apart: one alert for each reason, queue or function.
var queries = [
  {
    name: 'dead-letters'
    title: 'Events are being dead-lettered'
    severity: 2
    query: loadTextContent('../queries/alert-dead-letters.kql')
    window: 'PT15M'
    above: 0
    aggregation: 'Total'
  }
  {
    name: 'poison-queue'
    title: 'Messages about alerts could not be delivered'
    severity: 1
    query: loadTextContent('../queries/alert-poison.kql')
    window: 'PT15M'
    above: 0
    aggregation: 'Total'
  }
  {
    name: 'lag'
    title: 'A function is more than two minutes behind the hub, and falling further behind'
    severity: 1
    query: loadTextContent('../queries/alert-lag.kql')
    window: 'PT10M'
    above: 120
    aggregation: 'Maximum'
  }
  {
    // A few retries are the weather; a steady stream of them is a store that does not answer.
    name: 'failures'
    title: 'A function keeps failing'
    severity: 1
    query: loadTextContent('../queries/alert-failures.kql')
    window: 'PT15M'
    above: 20
    aggregation: 'Total'
  }
]

resource logAlerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for rule in queries: {
  name: '${name}-${rule.name}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: rule.title
    severity: rule.severity
    enabled: true
    scopes: [workspaceId]
    evaluationFrequency: 'PT5M'
    windowSize: rule.window
    // The tables appear with their first line.
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: rule.query
          timeAggregation: rule.aggregation
          metricMeasureColumn: 'value'
          dimensions: [{ name: 'subject', operator: 'Include', values: ['*'] }]
          operator: 'GreaterThan'
          threshold: rule.above
          failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
        }
      ]
    }
    actions: { actionGroups: actionGroups }
    autoMitigate: true
  }
}]

resource throttledWrites 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: '${name}-cosmos-429'
  location: 'global'
  tags: tags
  properties: {
    description: 'Cosmos DB turns requests away: raise the throughput, or let batches wait longer'
    severity: 2
    enabled: true
    scopes: [cosmosAccountId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT5M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'throttled'
          metricNamespace: 'Microsoft.DocumentDB/databaseAccounts'
          metricName: 'TotalRequests'
          dimensions: [{ name: 'StatusCode', operator: 'Include', values: ['429'] }]
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 100
        }
      ]
    }
    actions: [for id in actionGroups: { actionGroupId: id }]
    autoMitigate: true
  }
}

resource throttledDrones 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: '${name}-event-hubs-throttled'
  location: 'global'
  tags: tags
  properties: {
    description: 'Event Hubs turns events away: add throughput units'
    severity: 1
    enabled: true
    scopes: [eventHubsNamespaceId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT5M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'throttled'
          metricNamespace: 'Microsoft.EventHub/namespaces'
          metricName: 'ThrottledRequests'
          timeAggregation: 'Total'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
    actions: [for id in actionGroups: { actionGroupId: id }]
    autoMitigate: true
  }
}

resource silence 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: '${name}-silence'
  location: 'global'
  tags: tags
  properties: {
    description: 'Nothing has arrived for 15 minutes'
    severity: 1
    enabled: alertOnSilence
    scopes: [eventHubsNamespaceId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'nothing'
          metricNamespace: 'Microsoft.EventHub/namespaces'
          metricName: 'IncomingMessages'
          timeAggregation: 'Total'
          operator: 'LessThan'
          threshold: 1
        }
      ]
    }
    actions: [for id in actionGroups: { actionGroupId: id }]
    autoMitigate: true
  }
}
