// Who is told, and of what. These rules watch the system; alerts about drones are the app's own.

param name string
param location string
param tags { *: string }
param workspaceId string
param cosmosAccountId string
param eventHubsNamespaceId string
param alertEmail string
param actionGroupIds string[]
@description('Empty without an IoT hub.')
param iotHubId string
param iotHubDailyMessages int
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
var isTold = !empty(alertEmail) || !empty(actionGroupIds)

// Each query gives a `value`, and a `subject` that is told apart: one alert for each reason, queue, function or partition.
// What has to be there however little of it there is comes from what nothing samples: the queues' own log, the hub's metrics
// and requests, which host.json exempts.
var queries = [
  {
    name: 'dead-letters'
    title: 'Events are being dead-lettered'
    severity: 2
    query: loadTextContent('../queries/alert-dead-letters.kql')
    window: 'PT15M'
    above: 0
    aggregation: 'Total'
    enabled: true
  }
  {
    name: 'poison-queue'
    title: 'Messages could not be delivered or worked off'
    severity: 1
    help: 'In drone-alerts-poison: alerts that no receiver has taken for a day. In insight-units-poison: hours that could not be summarised, see infra/INSIGHTS.md.'
    query: loadTextContent('../queries/alert-poison.kql')
    window: 'PT15M'
    above: 0
    aggregation: 'Total'
    enabled: true
  }
  {
    name: 'lag'
    title: 'A function is more than two minutes behind the hub'
    severity: 1
    query: loadTextContent('../queries/alert-lag.kql')
    window: 'PT10M'
    above: 120
    aggregation: 'Maximum'
    enabled: true
  }
  {
    name: 'stuck'
    title: 'A partition does not move: its calls fail, and none has succeeded for ten minutes'
    severity: 1
    help: 'See "A partition that stands still" in infra/OPERATIONS.md. The error lines of the function name the partition and what fails.'
    query: loadTextContent('../queries/alert-stuck.kql')
    window: 'PT30M'
    above: 0
    aggregation: 'Maximum'
    enabled: true
  }
  {
    name: 'failures'
    title: 'A function keeps failing'
    severity: 1
    help: 'Where the exceptions say "Exception binding parameter", a device sends a body that the host cannot bind, and its partition stands still in every function: see "A partition that stands still" in infra/OPERATIONS.md.'
    query: loadTextContent('../queries/alert-failures.kql')
    window: 'PT15M'
    above: 0
    aggregation: 'Total'
    enabled: true
  }
  {
    name: 'behind'
    title: 'Events come in, and a function does not work them off'
    severity: 1
    query: loadTextContent('../queries/alert-behind.kql')
    window: 'PT30M'
    above: 0
    aggregation: 'Maximum'
    enabled: true
  }
  {
    name: 'restarts'
    title: 'Hosts start again and again, and a function finishes nothing: are events larger than largestEventKb?'
    severity: 1
    query: loadTextContent('../queries/alert-restarts.kql')
    window: 'PT30M'
    above: 2
    aggregation: 'Maximum'
    enabled: true
  }
  {
    name: 'insights'
    title: 'For two hours some of what the fleet did has not been summarised'
    severity: 2
    help: 'Hours of partitions that are over have waited for two hours, or nobody has looked for them: see infra/INSIGHTS.md.'
    query: loadTextContent('../queries/alert-insights.kql')
    window: 'PT3H'
    above: 0
    aggregation: 'Maximum'
    enabled: true
  }
  {
    name: 'log-cap'
    title: 'No more logs are taken today: raise dailyLogCapGb, or log less'
    severity: 2
    query: loadTextContent('../queries/alert-log-cap.kql')
    window: 'PT30M'
    above: 0
    aggregation: 'Total'
    enabled: true
  }
  {
    name: 'silence'
    title: 'Nothing has arrived for 20 minutes'
    severity: 1
    query: loadTextContent('../queries/alert-silence.kql')
    window: 'PT30M'
    above: 0
    aggregation: 'Maximum'
    enabled: alertOnSilence
  }
]

resource logAlerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for rule in queries: {
    name: '${name}-${rule.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: rule.title
      description: rule.?help ?? rule.title
      severity: rule.severity
      // A rule is paid for by the month, so none is on that would tell nobody.
      enabled: rule.enabled && isTold
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
  }
]

resource throttledWrites 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: '${name}-cosmos-429'
  location: 'global'
  tags: tags
  properties: {
    description: 'Cosmos DB turns requests away: raise the throughput, or let batches wait longer'
    severity: 2
    enabled: isTold
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
    actions: [
      for id in actionGroups: { actionGroupId: id }
    ]
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
    enabled: isTold
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
    actions: [
      for id in actionGroups: { actionGroupId: id }
    ]
    autoMitigate: true
  }
}

// Each of these is an event that a drone sent and the hub did not get.
var iotHubRules = [
  {
    name: 'dropped'
    metric: 'd2c.telemetry.egress.dropped'
    description: 'IoT Hub drops events: the route to the Event Hub fails'
    above: 0
    aggregation: 'Total'
  }
  {
    name: 'orphaned'
    metric: 'd2c.telemetry.egress.orphaned'
    description: 'Events match no route of the IoT hub'
    above: 0
    aggregation: 'Total'
  }
  {
    name: 'throttled'
    metric: 'd2c.telemetry.ingress.sendThrottle'
    description: 'IoT Hub throttles drones: add units'
    above: 0
    aggregation: 'Total'
  }
  {
    name: 'quota'
    metric: 'dailyMessageQuotaUsed'
    description: 'Nine tenths of the messages that the IoT hub takes a day are used; beyond it drones are turned away'
    above: iotHubDailyMessages / 10 * 9
    aggregation: 'Maximum'
  }
]

resource iotHubAlerts 'Microsoft.Insights/metricAlerts@2018-03-01' = [
  for rule in iotHubRules: if (!empty(iotHubId)) {
    name: '${name}-iot-hub-${rule.name}'
    location: 'global'
    tags: tags
    properties: {
      description: rule.description
      severity: 1
      enabled: isTold
      scopes: [iotHubId]
      evaluationFrequency: 'PT5M'
      windowSize: 'PT15M'
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            criterionType: 'StaticThresholdCriterion'
            name: rule.name
            metricNamespace: 'Microsoft.Devices/IotHubs'
            metricName: rule.metric
            timeAggregation: rule.aggregation
            operator: 'GreaterThan'
            threshold: rule.above
          }
        ]
      }
      actions: [
        for id in actionGroups: { actionGroupId: id }
      ]
      autoMitigate: true
    }
  }
]

output actionGroups string[] = actionGroups
